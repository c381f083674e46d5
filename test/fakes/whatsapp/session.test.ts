import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { connect, newSession } from './client.ts';
import { ANA, OWN, startFake, startOpen, startStage } from './support.ts';

describe('a session with the fake WhatsApp', () => {
  it('is linked by its QR code, told to come again, and then open', async () => {
    const fake = await startFake();
    const own = fake.addPerson(OWN);
    const session = newSession();
    const first = connect(fake.url, session);
    const device = fake.scan(own, await first.qr());
    expect(await first.closed()).toBe(515);
    expect(first.updates.some(({ isNewLogin }) => isNewLogin)).toBe(true);
    expect(session.creds.me).toMatchObject({ id: device.jid, lid: device.lidJid });

    const second = connect(fake.url, session);
    await second.isOpen();
    expect(second.socket.user?.lid).toBe('111222333444555:1@lid');
    expect(fake.world.errors()).toEqual([]);
  });

  it('with credentials that were made is open without a pairing', async () => {
    const { client, fake, device } = await startOpen();
    expect(client.socket.user?.id).toBe(device.jid);
    expect(fake.world.connections.counts()).toMatchObject({ open: 1, logins: 1, doubles: 0 });
  });

  it('that was told a route says it before its first word, and is understood', async () => {
    const { session, join } = await startStage();
    session.creds.routingInfo = Buffer.from('0802', 'hex');
    await join().isOpen();
  });

  it('with the credentials of a device, but another key, is logged out', async () => {
    const { fake, device } = await startStage();
    const stranger = newSession();
    stranger.creds.me = { id: device.jid, lid: device.lidJid };
    stranger.creds.account = {};
    expect(await connect(fake.url, stranger).closed()).toBe(401);
  });

  it('that is opened twice: the older one is replaced, and it is counted', async () => {
    const { join, fake, device } = await startStage();
    const older = join();
    await older.isOpen();
    const newer = join();
    await newer.isOpen();
    expect(await older.closed()).toBe(440);
    expect(fake.world.connections.countsOf(device)).toEqual({ logins: 2, doubles: 1 });
    await eventually(() => fake.world.connections.counts().open === 1);
  });
});

describe('messages', () => {
  it('of somebody arrive decrypted, with both addresses and the name, and are receipted', async () => {
    const { client, fake, ana, own, device } = await startOpen();
    const { id } = await fake.write({ from: ana, to: own }, 'hola');
    const message = await client.message(id);
    expect(message.message?.conversation).toBe('hola');
    expect(message.pushName).toBe('Ana');
    expect(message.key).toMatchObject({
      remoteJid: '99887766554433@lid',
      remoteJidAlt: '51987654321@s.whatsapp.net',
      fromMe: false,
    });
    const stanza = await eventually(() => device.queue.list().find((each) => each.settled));
    expect(stanza).toMatchObject({ id, timesSent: 1, settled: { by: 'receipt' } });
  });

  it('of the device are decrypted by who gets them, acknowledged and receipted', async () => {
    const { client, ana, own, fake, device } = await startOpen();
    const acks: string[] = [];
    client.socket.ws.on('CB:ack,class:message', ({ attrs }: { attrs: { id: string } }) =>
      acks.push(attrs.id),
    );
    const sent = await client.socket.sendMessage(`${ANA.phone}@s.whatsapp.net`, { text: 'buenas' });
    const id = sent?.key.id ?? '';
    const received = await eventually(() => ana.find(id));
    expect(received.message.extendedTextMessage?.text).toBe('buenas');
    expect(received).toMatchObject({ times: 1, isOwn: false, chat: ana.phoneJid });
    await eventually(() => acks[0] === id);
    // Baileys holds events back and merges them: the raw receipt it is, and that it was acknowledged.
    await eventually(() =>
      device.queue.list().some((each) => each.id === id && each.settled?.by === 'ack'),
    );
    // The own phone has its copy.
    expect(own.find(id)).toMatchObject({ isOwn: true, chat: ana.phoneJid });
    expect(fake.world.errors()).toEqual([]);
  });

  it('that come one after the other keep their order', async () => {
    const { client, fake, ana, own } = await startOpen();
    const texts = Array.from({ length: 20 }, (_, index) => `m${index}`);
    await Promise.all(texts.map((text) => fake.write({ from: ana, to: own }, text)));
    await eventually(() => client.messages.length === texts.length);
    expect(client.messages.map(({ message }) => message?.conversation)).toEqual(texts);
  });
});
