import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { startOpen } from './support.ts';

describe('one person, two addresses', () => {
  it('by LID with the number or without, by number with the LID or without', async () => {
    const { fake, ana, own, client } = await startOpen();
    const seen = [];
    for (const addressing of ['pn-only', 'pn', 'lid-only', 'lid'] as const) {
      const { id } = await fake.write({ from: ana, to: own }, 'hola', { addressing });
      const { key } = await client.message(id);
      seen.push([key.remoteJid, key.remoteJidAlt]);
    }
    expect(seen).toEqual([
      [ana.phoneJid, undefined],
      [ana.phoneJid, ana.lidJid],
      [ana.lidJid, undefined],
      [ana.lidJid, ana.phoneJid],
    ]);
  });

  it('with another LID from now on: is read all the same, after it was asked for again', async () => {
    const { fake, ana, own, client, device } = await startOpen();
    const { id } = await fake.write({ from: ana, to: own }, 'antes');
    await client.message(id);
    await client.socket.sendMessage(ana.phoneJid, { text: 'respuesta' });
    await eventually(() => ana.received().length === 1);
    fake.changeLid(ana, '77777777777777');
    const later = await fake.write({ from: ana, to: own }, 'después');
    await eventually(() =>
      client.messages.some(({ message }) => message?.conversation === 'después'),
    );
    await eventually(() => device.queue.waitingCount === 0);
    const stanza = device.queue.list().find((each) => each.id === later.id);
    expect(stanza?.from).toBe('77777777777777@lid');
    expect(fake.world.personAt('99887766554433@lid')).toBe(ana);
  });

  it('whose LID the server does not tell is not found by it', async () => {
    const { fake, client } = await startOpen();
    const shy = fake.addPerson({ phone: '51911111111', isLidKnown: false });
    const [known] = (await client.socket.onWhatsApp(shy.phone)) ?? [];
    expect(known).toMatchObject({ exists: true, jid: shy.phoneJid });
    const [nobody] = (await client.socket.onWhatsApp('51900000000')) ?? [];
    expect(nobody?.exists ?? false).toBe(false);
    const { lidMapping } = client.socket.signalRepository;
    expect(await lidMapping.getLIDForPN(shy.phoneJid)).toBeNull();
  });
});
