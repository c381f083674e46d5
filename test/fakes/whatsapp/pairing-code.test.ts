import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { connect, newSession } from './client.ts';
import { OWN, startFake } from './support.ts';

describe('linking with a code', () => {
  it('that is typed on the phone links the device, which comes again and is open', async () => {
    const fake = await startFake();
    const own = fake.addPerson(OWN);
    const session = newSession();
    const first = connect(fake.url, session);
    await first.qr();
    const code = await first.socket.requestPairingCode(OWN.phone);
    await eventually(() => fake.world.codeRequests.has(OWN.phone));
    await fake.typeCode(own, `${code.slice(0, 4)}-${code.slice(4)}`);
    expect(await first.closed()).toBe(515);
    expect(session.creds).toMatchObject({
      registered: true,
      me: { id: `${OWN.phone}:1@s.whatsapp.net`, lid: `${OWN.lid}:1@lid` },
    });
    await connect(fake.url, session).isOpen();
    expect(fake.world.errors()).toEqual([]);
  });

  it('that is another one links nothing', async () => {
    const fake = await startFake();
    const own = fake.addPerson(OWN);
    const client = connect(fake.url, newSession());
    await client.qr();
    await client.socket.requestPairingCode(OWN.phone);
    await eventually(() => fake.world.codeRequests.has(OWN.phone));
    await fake.typeCode(own, 'WRONG123');
    await eventually(() => fake.world.errors()[0]?.includes('a wrong code'));
    expect(own.linked()).toEqual([]);
  });

  it('is not possible when nobody asked for it, nor with a picture that is gone', async () => {
    const fake = await startFake();
    const own = fake.addPerson(OWN);
    await expect(fake.typeCode(own, 'ABCD1234')).rejects.toThrow('no client');
    const client = connect(fake.url, newSession());
    const qr = await client.qr();
    client.end();
    await client.closed();
    await eventually(() => fake.world.references.size === 0);
    expect(() => fake.scan(own, qr)).toThrow('no connection with this code');
  });
});
