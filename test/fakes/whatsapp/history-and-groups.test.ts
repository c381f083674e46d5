import { downloadAndProcessHistorySyncNotification } from '@whiskeysockets/baileys';
import { Agent, fetch as undiciFetch } from 'undici';
import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { connect, newSession } from './client.ts';
import { startOpen, startStage } from './support.ts';

describe('history', () => {
  it('comes in chunks, with conversations, names and addresses, and is receipted as such', async () => {
    const { fake, ana, device, session } = await startStage();
    session.creds.accountSyncCounter = 0;
    const client = connect(fake.url, session, { shouldSyncHistoryMessage: () => true });
    const chunks: { messages: number; progress: unknown; chats: string[]; contacts: number }[] = [];
    client.socket.ev.on('messaging-history.set', ({ messages, progress, chats, contacts }) =>
      chunks.push({
        messages: messages.length,
        progress,
        chats: chats.map(({ id }) => id ?? ''),
        contacts: contacts.length,
      }),
    );
    await client.isOpen();
    const messages = Array.from({ length: 300 }, (_, index) => ({
      content: `antes ${index}`,
      isOwn: index % 3 === 0,
      atSeconds: 1_700_000_000 - index,
    }));
    const conversations = [{ with: ana, name: 'Ana de la agenda', unread: 2, messages }];
    for (const [chunk, progress] of [
      [1, 50],
      [2, 100],
    ] as const) {
      await fake.sendHistory(device, { conversations, chunk, progress });
    }
    await fake.sendHistory(device, { type: 'push-names', names: [ana] });
    await eventually(() => chunks.length === 3, { timeoutMs: 15_000 });
    expect(chunks).toEqual([
      { messages: 300, progress: 50, chats: [ana.lidJid], contacts: 1 },
      { messages: 300, progress: 100, chats: [ana.lidJid], contacts: 1 },
      { messages: 0, progress: 100, chats: [], contacts: 1 },
    ]);
    const { lidMapping } = client.socket.signalRepository;
    expect(await lidMapping.getPNForLID(ana.lidJid)).toContain(ana.phone);
    expect(device.receipts().filter(({ type }) => type === 'hist_sync')).toHaveLength(3);
  });

  it('as a file is fetched by its path, from the host that the client takes', async () => {
    const { fake, ana, device, client } = await startOpen();
    const messages = [{ content: 'viejo', atSeconds: 1_700_000_000 }];
    const conversations = [{ with: ana, messages }];
    const { id } = await fake.sendHistory(device, { conversations, as: 'file' });
    const { protocolMessage } = (await client.message(id)).message ?? {};
    const notification = protocolMessage?.historySyncNotification ?? {};
    expect(notification.initialHistBootstrapInlinePayload).toBeFalsy();
    const toFake = new Agent({
      connect: { ca: fake.certificate, servername: 'localhost' },
    }).compose(
      (dispatch) => (options, handler) => dispatch({ ...options, origin: fake.filesUrl }, handler),
    );
    const given = globalThis.fetch;
    globalThis.fetch = ((url: string, init: object) =>
      undiciFetch(url, { ...init, dispatcher: toFake })) as typeof fetch;
    const found = await downloadAndProcessHistorySyncNotification(notification, {}).finally(() => {
      globalThis.fetch = given;
    });
    expect(found.messages.map(({ message }) => message?.conversation)).toEqual(['viejo']);
    // Said of all at the beginning, and of each conversation.
    const mapping = { lid: ana.lidJid, pn: ana.phoneJid };
    expect(found.lidPnMappings).toEqual([mapping, mapping]);
  });
});

describe('groups', () => {
  it('what a member writes is read by the device, with its key the first time and without later', async () => {
    const { fake, ana, own, client } = await startOpen();
    const group = fake.makeGroup({ subject: 'Padres', members: [own, ana] });
    for (const text of ['uno', 'dos']) {
      const { id } = await fake.writeInGroup({ from: ana, group }, text);
      const message = await client.message(id);
      expect(message.message?.conversation).toBe(text);
      expect(message.key).toMatchObject({
        remoteJid: group.jid,
        participant: ana.lidJid,
        participantAlt: ana.phoneJid,
      });
    }
    const stanzas = fake.world.log.list({ way: 'out', tag: 'message' });
    expect(stanzas.map(({ children }) => children)).toEqual([['enc', 'enc'], ['enc']]);
  });

  it('what the device writes is read by every member', async () => {
    const { fake, ana, own, client } = await startOpen();
    const bea = fake.addPerson({ phone: '51911112222', name: 'Bea' });
    const group = fake.makeGroup({ subject: 'Padres', members: [own, ana, bea] });
    const about = await client.socket.groupMetadata(group.jid);
    expect(about).toMatchObject({ id: group.jid, subject: 'Padres', addressingMode: 'lid' });
    expect(about.participants.map(({ id }) => id)).toEqual([own.lidJid, ana.lidJid, bea.lidJid]);
    for (const text of ['hola a todos', 'otra vez']) {
      const sent = await client.socket.sendMessage(group.jid, { text });
      const id = sent?.key.id ?? '';
      for (const person of [ana, bea]) {
        const received = await eventually(() => person.find(id));
        expect(received.message.extendedTextMessage?.text).toBe(text);
        expect(received.chat).toBe(group.jid);
      }
    }
    bea.failures = 1;
    const sent = await client.socket.sendMessage(group.jid, { text: 'no la leyó' });
    await eventually(() => bea.find(sent?.key.id ?? ''));
    expect(fake.world.errors()).toEqual([]);
  });

  it('somebody who lost its session with a member asks for the message and the key', async () => {
    const { fake, ana, own, client, session } = await startOpen();
    const group = fake.makeGroup({ subject: 'Padres', members: [own, ana] });
    const first = await fake.writeInGroup({ from: ana, group }, 'uno');
    await client.message(first.id);
    client.end();
    await client.closed();
    const forgetful = connect(fake.url, newSession(session.creds));
    await forgetful.isOpen();
    await fake.writeInGroup({ from: ana, group }, 'dos');
    await eventually(() =>
      forgetful.messages.some(({ message }) => message?.conversation === 'dos'),
    );
    const third = await fake.writeInGroup({ from: ana, group }, 'tres');
    expect((await forgetful.message(third.id)).message?.conversation).toBe('tres');
  });

  it('and status updates and channels are refused by a device that ignores them', async () => {
    const { fake, ana, own, join, device } = await startStage();
    const client = join({ shouldIgnoreJid: (jid) => /@(g\.us|broadcast|newsletter)$/.test(jid) });
    await client.isOpen();
    const group = fake.makeGroup({ subject: 'Padres', members: [own, ana] });
    await fake.writeInGroup({ from: ana, group }, 'grupo');
    await fake.writeStatus({ from: ana, to: own }, 'estado');
    fake.writeNewsletter(own, { channel: '120363000000000009', text: 'canal' });
    await eventually(() => device.queue.waitingCount === 0);
    expect(device.queue.list().map(({ settled }) => settled?.by)).toEqual(['nack', 'nack', 'nack']);
    expect(client.messages).toEqual([]);
  });
});

describe('two devices that are linked here', () => {
  it('write to each other, and each phone has its copy', async () => {
    const { fake, own, client } = await startOpen();
    const other = fake.addPerson({ phone: '51999000002', name: 'Otra' });
    const { creds } = fake.makeCredentials(other);
    const otherClient = connect(fake.url, newSession(creds));
    await otherClient.isOpen();
    const sent = await client.socket.sendMessage(other.phoneJid, { text: 'entre nosotros' });
    const id = sent?.key.id ?? '';
    const message = await otherClient.message(id);
    expect(message.message?.extendedTextMessage?.text).toBe('entre nosotros');
    expect(message.key.remoteJidAlt).toBe(own.phoneJid);
    expect(other.find(id)?.times).toBe(1);
    expect(own.find(id)?.isOwn).toBe(true);
    expect(fake.world.errors()).toEqual([]);
  });
});
