import { deflateSync } from 'node:zlib';
import { jidNormalizedUser, makeWASocket, proto, type WASocket } from '@whiskeysockets/baileys';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startFakeWhatsApp, type FakeWhatsApp } from '../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { silent } from '../../fakes/whatsapp/quiet.ts';
import { writeToOwnDevice } from '../../fakes/whatsapp/write.ts';
import { sql } from '../../platform/sql.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import { createKeyCache } from '../../server/ingest/whatsapp/key-cache.ts';
import { openSession, type DeviceSession } from '../../server/ingest/whatsapp/session-store.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';

/** A device of ours with the fake WhatsApp: real Baileys, real ratchets, real receipts. */
type Live = {
  readonly device: Receiving;
  readonly fake: FakeWhatsApp;
  readonly own: Person;
  readonly ana: Person;
  readonly linked: LinkedDevice;
  readonly connect: () => Promise<{ socket: WASocket; session: DeviceSession }>;
};

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

async function live(addressing: 'lid' | 'lid-only' = 'lid'): Promise<Live> {
  const fake = await startFakeWhatsApp();
  onTestFinished(() => fake.stop());
  const own = fake.addPerson({ phone: '51999000001', lid: '111222333444555', name: 'Clarin' });
  const ana = fake.addPerson({
    phone: '51987654321',
    lid: '99887766554433',
    name: 'Ana',
    addressing,
  });
  const { device: linked, creds } = fake.makeCredentials(own);
  const me = { jid: jidNormalizedUser(creds.me?.id), lid: jidNormalizedUser(creds.me?.lid) };
  const device = await world.device(me);
  const { context } = device;
  const cache = createKeyCache(systemClock);
  let isFirst = true;
  const connect: Live['connect'] = async () => {
    const session = await openSession(context, {
      cache,
      onInbox: () => device.inbound.ring(),
      onLost: () => undefined,
    });
    if (isFirst) session.merge(creds);
    isFirst = false;
    await session.flush();
    const socket = makeWASocket({
      auth: session.auth,
      makeSignalRepository: session.makeSignalRepository,
      transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
      waWebSocketUrl: fake.url,
      logger: silent,
      markOnlineOnConnect: false,
      shouldSyncHistoryMessage: () => false,
    });
    session.watch(socket);
    device.inbound.watch(socket);
    socket.ev.on('creds.update', (update) => session.merge(update));
    onTestFinished(async () => {
      await socket.end(undefined);
      await session.close();
    });
    await new Promise<void>((resolve) => {
      socket.ev.on('connection.update', ({ connection }) => {
        if (connection === 'open') resolve();
      });
    });
    return { socket, session };
  };
  return { device, fake, own, ana, linked, connect };
}

describe('from WhatsApp to the rows', () => {
  it('texts, pictures, answers and reactions, and what our phone writes', async () => {
    const { device, fake, own, ana, connect } = await live();
    await connect();
    let atSeconds = 1_795_900_000;
    const say = (message: proto.IMessage | string, id: string) =>
      fake.write({ from: ana, to: own }, message, { id, atSeconds: ++atSeconds });
    await say('Hola', 'A');
    await say(
      { imageMessage: { mediaKey: new Uint8Array(32), directPath: '/v', mimetype: 'image/png' } },
      'P',
    );
    await say({ extendedTextMessage: { text: 'Sí', contextInfo: { stanzaId: 'A' } } }, 'R');
    await say({ reactionMessage: { key: { id: 'A' }, text: '❤️' } }, 'E');
    await fake.writeOnPhone({ phone: own, to: ana }, 'Del teléfono', {
      id: 'O',
      atSeconds: ++atSeconds,
    });
    await device.message('O');
    await device.settled();
    expect(await device.messages()).toMatchObject([
      { message_id: 'A', body: 'Hola', from_name: 'Ana', is_from_me: 'f' },
      { message_id: 'P', message_type: 'image' },
      { message_id: 'R', body: 'Sí', quoted_message_id: 'A' },
      { message_id: 'O', body: 'Del teléfono', is_from_me: 't' },
    ]);
    expect(await device.chats()).toMatchObject([
      { jid: ana.phoneJid, lid: ana.lidJid, unread_count: '3' },
    ]);
    expect(fake.world.errors()).toEqual([]);
  });

  it('what was held back while we were away, in its order', async () => {
    const { device, fake, own, ana, linked, connect } = await live();
    for (const id of ['1', '2', '3'])
      await fake.write({ from: ana, to: own }, `Offline ${id}`, { id });
    await connect();
    await device.message('3');
    expect((await device.messages()).map((row) => row['message_id'])).toEqual(['1', '2', '3']);
    await eventually(() => linked.queue.waitingCount === 0, { says: 'all of it is settled' });
  });

  it('and not one is lost when the socket breaks before Baileys says anything of them', async () => {
    const { device, fake, own, ana, linked, connect } = await live();
    fake.world.faults.add({ device: linked.jid, times: 1, does: { kind: 'withhold-offline' } });
    for (const id of ['1', '2', '3'])
      await fake.write({ from: ana, to: own }, `Offline ${id}`, { id });
    const { socket, session } = await connect();
    await device.message('3');
    await socket.end(new Error('broken'));
    await session.close();
    await connect();
    await fake.write({ from: ana, to: own }, 'After', { id: '4' });
    await device.message('4');
    await device.settled();
    expect((await device.messages()).map((row) => row['message_id'])).toEqual(['1', '2', '3', '4']);
  });

  it('receipts of what was written on the phone, also when they come first', async () => {
    const { device, fake, own, ana, connect } = await live();
    await fake.writeOnPhone({ phone: own, to: ana }, 'Mío', { id: 'O' });
    const { socket } = await connect();
    await device.message('O');
    socket.ws.emit('CB:receipt', {
      tag: 'receipt',
      attrs: { id: 'O', from: ana.lidJid, type: 'read', t: '1795900000' },
    });
    await eventually(async () => (await device.message('O'))['status'] === 'read', {
      says: 'it is read',
    });
  });

  it('somebody known by a LID alone, until the number is known: one chat of two', async () => {
    const { device, fake, own, ana, connect } = await live('lid-only');
    await connect();
    await fake.write({ from: ana, to: own }, 'Por LID', { id: 'L' });
    await device.message('L');
    await fake.write({ from: ana, to: own }, 'Por número', { id: 'N', addressing: 'pn-only' });
    await device.message('N');
    expect(await device.chats()).toHaveLength(2);
    await fake.write({ from: ana, to: own }, 'Con los dos', { id: 'B', addressing: 'lid' });
    await device.message('B');
    await device.settled();
    expect(await device.chats()).toMatchObject([
      { jid: ana.phoneJid, lid: ana.lidJid, unread_count: '3' },
    ]);
    expect((await device.messages()).map((row) => row['body'])).toEqual([
      'Por LID',
      'Por número',
      'Con los dos',
    ]);
  });

  it('history of 3,000 messages, while messages come', async () => {
    const { device, fake, own, ana, linked, connect } = await live();
    await connect();
    const past = Array.from({ length: 3_000 }, (_, n) => ({
      message: {
        key: { id: `H${n}`, remoteJid: ana.lidJid, fromMe: n % 3 === 0 },
        message: { conversation: `Antes ${n}` },
        messageTimestamp: 1_790_000_000 + n,
        status: 4,
      },
    }));
    const part = proto.HistorySync.encode(
      proto.HistorySync.create({
        syncType: proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP,
        conversations: [{ id: ana.lidJid, pnJid: ana.phoneJid, messages: past }],
        phoneNumberToLidMappings: [{ pnJid: ana.phoneJid, lidJid: ana.lidJid }],
      }),
    ).finish();
    const historySyncNotification = {
      syncType: proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP,
      initialHistBootstrapInlinePayload: deflateSync(part),
      progress: 100,
    };
    const type = proto.Message.ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION;
    await writeToOwnDevice(fake.world, linked, {
      protocolMessage: { type, historySyncNotification },
    });
    await fake.write({ from: ana, to: own }, 'Ahora', { id: 'NOW' });
    await device.message('NOW');
    await device.settled();
    const [row] = await device.all(sql`
      select count(*) as messages, count(distinct chat_id) as chats
      from public.messages where account_id = ${device.accountId}`);
    expect(row).toEqual({ messages: '3001', chats: '1' });
    expect(await device.chats()).toMatchObject([{ last_message: 'Ahora', unread_count: '1' }]);
  });
});
