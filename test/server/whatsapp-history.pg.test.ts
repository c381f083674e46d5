import { deflateSync } from 'node:zlib';
import { proto } from '@whiskeysockets/baileys';
import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';
import { ANA, attrsOf, GROUP } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

const { HistorySyncType } = proto.HistorySync;
const NOW_S = Math.floor(Date.now() / 1_000);
const DAY_S = 86_400;
const FILE = {
  mediaKey: new Uint8Array(32).fill(1),
  directPath: '/v/t1',
  fileLength: 99,
  mimetype: 'image/png',
};

/** From our phone, as it tells a device that a part is there; small enough to be in it. */
async function tell(
  device: Receiving,
  id: string,
  part: proto.IHistorySync,
  progress = 100,
): Promise<void> {
  const bytes = proto.HistorySync.encode(proto.HistorySync.create(part)).finish();
  const historySyncNotification = {
    syncType: HistorySyncType.INITIAL_BOOTSTRAP,
    initialHistBootstrapInlinePayload: deflateSync(bytes),
    progress,
  };
  const attrs = { id, from: '51900000001:0@s.whatsapp.net', category: 'peer', t: String(NOW_S) };
  const type = proto.Message.ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION;
  await device.decrypted(attrs, { protocolMessage: { type, historySyncNotification } });
}

const said = (
  id: string,
  message: proto.IMessage,
  more: proto.IWebMessageInfo = {},
): proto.IHistorySyncMsg => ({
  message: {
    key: { id, remoteJid: ANA.lid, fromMe: false },
    message,
    messageTimestamp: NOW_S - 3_600,
    ...more,
  },
});
const withAna = (
  messages: proto.IHistorySyncMsg[],
  more: proto.IConversation = {},
): proto.IHistorySync => ({
  syncType: HistorySyncType.INITIAL_BOOTSTRAP,
  conversations: [
    {
      id: ANA.lid,
      pnJid: ANA.jid,
      displayName: 'Ana de la agenda',
      unreadCount: 3,
      messages,
      ...more,
    },
  ],
});

async function receiving(): Promise<Receiving> {
  const device = await world.device();
  device.socket().open();
  return device;
}

describe('history', () => {
  it('of 3,000 messages is there once, read, without leads and without a notice for each', async () => {
    const device = await world.device();
    const heard = device.socket();
    heard.open();
    const [leads] = await device.all(
      sql`select count(*) as n from public.leads where account_id = ${device.accountId}`,
    );
    const conversations = Array.from({ length: 60 }, (_, chat) => {
      const number = `5198${String(1_000_000 + chat)}`;
      return {
        id: `${number}@s.whatsapp.net`,
        lidJid: `77${number}@lid`,
        unreadCount: 2,
        messages: Array.from({ length: 50 }, (__, n) => ({
          message: {
            key: {
              id: `H${chat}-${n}`,
              remoteJid: `${number}@s.whatsapp.net`,
              fromMe: n % 2 === 0,
            },
            message: { conversation: `Text ${n}` },
            messageTimestamp: NOW_S - 50 * DAY_S + n,
            status: 4,
          },
        })),
      };
    });
    await tell(device, 'HIST', { syncType: HistorySyncType.INITIAL_BOOTSTRAP, conversations });
    await device.settled();
    const [counted] = await device.all(sql`
      select count(*) as messages, count(*) filter (where status <> 'read') as unread,
        count(distinct chat_id) as chats
      from public.messages where account_id = ${device.accountId}`);
    expect(counted).toEqual({ messages: '3000', unread: '0', chats: '60' });
    const chats = await device.chats();
    expect(
      chats.every((chat) => chat['unread_count'] === '0' && chat['last_message'] === 'Text 49'),
    ).toBe(true);
    expect(chats.every((chat) => chat['lid']?.endsWith('@lid'))).toBe(true);
    expect(
      await device.all(
        sql`select count(*) as n from public.leads where account_id = ${device.accountId}`,
      ),
    ).toEqual([leads]);
    expect(heard.mappings.size).toBe(60);
    // Told once more, it writes nothing.
    await tell(device, 'AGAIN', { syncType: HistorySyncType.INITIAL_BOOTSTRAP, conversations });
    await device.settled();
    expect(await device.messages()).toHaveLength(3_000);
  });

  it('has files that WhatsApp still keeps, edits, reactions, polls and their votes', async () => {
    const device = await receiving();
    const messageSecret = new Uint8Array(32).fill(3);
    const poll = { pollCreationMessage: { name: 'When?', options: [{ optionName: 'Now' }] } };
    const hash = Buffer.from('5c0fd5b51a0ee0d4b8b8dbd4b5e5f2b4', 'hex');
    await tell(
      device,
      'HIST',
      withAna([
        said('OLD', { imageMessage: FILE }, { messageTimestamp: NOW_S - 40 * DAY_S }),
        said('FRESH', { imageMessage: { ...FILE, caption: 'Look' } }),
        said('POLL', poll, {
          messageSecret,
          pollUpdates: [
            {
              pollUpdateMessageKey: { fromMe: true },
              vote: { selectedOptions: [hash] },
              senderTimestampMs: NOW_S * 1_000,
            },
          ],
          reactions: [
            { key: { id: 'R', fromMe: false }, text: '👍', senderTimestampMs: NOW_S * 1_000 },
          ],
        }),
        said(
          'CALL',
          {},
          { message: null, messageStubType: proto.WebMessageInfo.StubType.CALL_MISSED_VOICE },
        ),
      ]),
    );
    await device.settled();
    const byId = new Map((await device.messages()).map((row) => [row['message_id'], row]));
    expect(new Set(byId.keys())).toEqual(new Set(['CALL', 'FRESH', 'OLD', 'POLL']));
    expect(JSON.parse(byId.get('OLD')?.['media'] ?? '')).toMatchObject({ state: 'failed' });
    expect(JSON.parse(byId.get('FRESH')?.['media'] ?? '')).toMatchObject({ state: 'pending' });
    const downloads = await device.all(sql`
      select media_id from private.whatsapp_downloads where device_id = ${device.deviceId}`);
    expect(downloads).toEqual([{ media_id: byId.get('FRESH')?.['media_id'] }]);
    expect(
      await device.all(sql`
      select emoji, sender_jid from public.message_reactions where account_id = ${device.accountId}`),
    ).toEqual([{ emoji: '👍', sender_jid: ANA.jid }]);
    expect(
      await device.all(sql`
      select voter_jid from public.poll_votes where account_id = ${device.accountId}`),
    ).toEqual([{ voter_jid: 'me' }]);
    expect(
      await device.all(sql`
      select message_id from private.whatsapp_messages where device_id = ${device.deviceId}`),
    ).toEqual([{ message_id: 'POLL' }]);
    expect(await device.chats()).toMatchObject([
      { jid: ANA.jid, lid: ANA.lid, name: 'Ana de la agenda' },
    ]);
  });

  it('does not replace what came meanwhile, and joins it', async () => {
    const device = await receiving();
    await device.decrypted({ ...attrsOf('LIVE'), t: String(NOW_S) }, { conversation: 'Live' });
    await device.message('LIVE');
    await tell(
      device,
      'HIST',
      withAna([said('PAST', { conversation: 'Past' }), said('LIVE', { conversation: 'Other' })]),
    );
    await device.settled();
    expect((await device.messages()).map((row) => row['body'])).toEqual(['Past', 'Live']);
    expect(await device.chats()).toMatchObject([{ last_message: 'Live', unread_count: '1' }]);
  });

  it('knows who is who before it writes anything, and names whom it knows', async () => {
    const device = await receiving();
    await device.decrypted(
      { id: 'L', from: ANA.lid, t: String(NOW_S) },
      { conversation: 'By LID' },
    );
    await device.decrypted(
      { id: 'N', from: ANA.jid, t: String(NOW_S) },
      { conversation: 'By number' },
    );
    await device.settled();
    expect(await device.chats()).toHaveLength(2);
    await tell(device, 'HIST', {
      syncType: HistorySyncType.PUSH_NAME,
      phoneNumberToLidMappings: [{ lidJid: ANA.lid, pnJid: ANA.jid }],
      pushnames: [{ id: ANA.jid, pushname: 'Anita' }],
    });
    await device.settled();
    await eventually(async () => (await device.chats())[0]?.['push_name'] === 'Anita', {
      says: 'she is named',
    });
    expect(await device.chats()).toHaveLength(1);
  });

  it('waits for a socket, behind messages, and is read again from its beginning after a crash', async () => {
    const device = await world.device();
    await tell(device, 'HIST', withAna([said('PAST', { conversation: 'Past' })]));
    await device.decrypted({ ...attrsOf('LIVE'), t: String(NOW_S) }, { conversation: 'Live' });
    await device.message('LIVE');
    await device.restart();
    device.socket().open();
    await device.all(
      sql`update private.whatsapp_inbox set next_at = now() where device_id = ${device.deviceId}`,
    );
    device.inbound.ring();
    expect(await device.message('PAST')).toMatchObject({ body: 'Past' });
    await device.settled();
  });

  it('leaves out groups that the device does not read, and what cannot be written', async () => {
    const device = await receiving();
    const group = said(
      'G',
      { conversation: 'Group' },
      { key: { id: 'G', remoteJid: GROUP, participant: ANA.lid } },
    );
    await device.all(sql`
      create or replace function public.refuse_past() returns trigger language plpgsql as $f$
      begin raise exception 'refused'; end $f$`);
    await device.all(sql`
      create trigger refuse_past before insert on public.messages
        for each row when (new.body = 'poison') execute function public.refuse_past()`);
    const history = withAna([
      said('BAD', { conversation: 'poison' }),
      said('GOOD', { conversation: 'Good' }),
    ]);
    history.conversations?.push({ id: GROUP, messages: [group] });
    await tell(device, 'HIST', history);
    await device.settled();
    expect((await device.messages()).map((row) => row['message_id'])).toEqual(['GOOD']);
  });

  it('brings what WhatsApp asks for before it takes messages to people we know', async () => {
    const device = await world.device();
    const heard = device.socket();
    heard.open();
    const tokens = { tcToken: Uint8Array.of(1, 2, 3), tcTokenTimestamp: NOW_S };
    await tell(device, 'HIST', withAna([], tokens));
    await device.settled();
    expect(heard.tokens.get(ANA.lid)).toMatchObject({ timestamp: String(NOW_S) });
  });
});
