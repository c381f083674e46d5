import { deflateSync } from 'node:zlib';
import { proto } from '@whiskeysockets/baileys';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeToOwnDevice } from '../../fakes/whatsapp/write.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld } from './whatsapp-inbound-world.ts';
import { openLive } from './whatsapp-live.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

describe('from WhatsApp to the rows', () => {
  it('texts, pictures, answers and reactions, and what our phone writes', async () => {
    const { device, fake, own, ana, connect } = await openLive(world);
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
    const { device, fake, own, ana, linked, connect } = await openLive(world);
    for (const id of ['1', '2', '3'])
      await fake.write({ from: ana, to: own }, `Offline ${id}`, { id });
    await connect();
    await device.message('3');
    expect((await device.messages()).map((row) => row['message_id'])).toEqual(['1', '2', '3']);
    await eventually(() => linked.queue.waitingCount === 0, { says: 'all of it is settled' });
  });

  it('and not one is lost when the socket breaks before Baileys says anything of them', async () => {
    const { device, fake, own, ana, linked, connect } = await openLive(world);
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
    const { device, fake, own, ana, connect } = await openLive(world);
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
    const { device, fake, own, ana, connect } = await openLive(world, 'lid-only');
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
    const { device, fake, own, ana, linked, connect } = await openLive(world);
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
