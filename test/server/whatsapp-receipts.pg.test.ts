import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyParkedReceipts } from '../../server/commands/park-receipts.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';
import { ANA, attrsOf, GROUP, T } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

const phone = (id: string) => ({
  id,
  from: '51900000001:0@s.whatsapp.net',
  recipient: ANA.lid,
  peer_recipient_pn: ANA.jid,
  t: String(T),
});
const mine = (device: Receiving, id: string) =>
  device.decrypted(phone(id), {
    deviceSentMessage: { destinationJid: ANA.lid, message: { conversation: 'Mine' } },
  });
const hasStatus = (device: Receiving, id: string, status: string) =>
  eventually(async () => (await device.message(id))['status'] === status, {
    says: `${id} is ${status}`,
  });
const parked = async (device: Receiving) =>
  (
    await device.all(sql`
      select message_id, status from private.whatsapp_parked_receipts
      where device_id = ${device.deviceId} order by message_id, status`)
  ).map((row) => `${row['message_id']} ${row['status']}`);
const isParked = (device: Receiving, ...receipts: string[]) =>
  eventually(async () => (await parked(device)).join() === receipts.join(), {
    says: 'it is parked',
  });

describe('receipts', () => {
  it('say how far a message of ours is, by either address, and never take it back', async () => {
    const device = await world.device();
    const heard = device.socket();
    await mine(device, 'M');
    await device.message('M');
    heard.receipt({ id: 'M', from: ANA.lid, t: String(T + 5), type: 'read' });
    await hasStatus(device, 'M', 'read');
    heard.receipt({ id: 'M', from: ANA.jid, t: String(T + 1) });
    heard.receipt({ id: 'M', from: ANA.jid, t: String(T + 9), type: 'played' });
    await hasStatus(device, 'M', 'played');
    expect(await parked(device)).toEqual([]);
  });

  it('of many at once are one transaction', async () => {
    const device = await world.device();
    const heard = device.socket();
    const ids = Array.from({ length: 30 }, (_, n) => `M${n}`);
    for (const id of ids) await mine(device, id);
    await device.settled();
    for (const id of ids) heard.receipt({ id, from: ANA.lid, t: String(T) });
    await eventually(async () =>
      (await device.messages()).every((row) => row['status'] === 'delivered'),
    );
    const [row] = await device.all(sql`
      select count(distinct xmin::text) as transactions from public.messages where account_id = ${device.accountId}`);
    expect(row).toEqual({ transactions: '1' });
  });

  it('that overtake their message wait for it', async () => {
    const device = await world.device();
    const heard = device.socket();
    heard.receipt({ id: 'EARLY', from: ANA.lid, t: String(T), type: 'read' });
    heard.receipt({ id: 'EARLY', from: ANA.lid, t: String(T) });
    await isParked(device, 'EARLY delivered', 'EARLY read');
    await mine(device, 'EARLY');
    await hasStatus(device, 'EARLY', 'read');
    expect(await parked(device)).toEqual([]);
  });

  it('that waited are applied by whoever settles what was sent from here', async () => {
    const device = await world.device();
    const { accountId, deviceId } = device;
    await device.decrypted(attrsOf('IN'), { conversation: 'Hi' });
    const chatId = Number((await device.message('IN'))['chat_id']);
    const heard = device.socket();
    heard.receipt({ id: 'SENT', from: ANA.lid, t: String(T), type: 'read' });
    await isParked(device, 'SENT read');
    await world.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_id, body, is_from_me, status)
      values (${accountId}, ${chatId}, 'SENT', 'Ours', true, 'sending')`);
    await world.owner.transaction((tx) =>
      applyParkedReceipts(tx, { accountId, deviceId, messageIds: ['SENT', 'IN'] }),
    );
    expect(await device.message('SENT')).toMatchObject({ status: 'read' });
    expect(await parked(device)).toEqual([]);
  });

  it('by an address that nobody knew for a person’s count as soon as it is known', async () => {
    const device = await world.device();
    const attrs = {
      id: 'O',
      from: '51900000001:0@s.whatsapp.net',
      recipient: ANA.jid,
      t: String(T),
    };
    const message = { conversation: 'By number' };
    await device.decrypted(attrs, { deviceSentMessage: { destinationJid: ANA.jid, message } });
    await device.message('O');
    const heard = device.socket();
    heard.receipt({ id: 'O', from: ANA.lid, t: String(T), type: 'read' });
    await isParked(device, 'O read');
    heard.ev.emit('lid-mapping.update', { lid: ANA.lid, pn: ANA.jid });
    await hasStatus(device, 'O', 'read');
  });

  it('count also when the address they come by cannot be written down', async () => {
    const device = await world.device();
    const attrs = {
      id: 'O',
      from: '51900000001:0@s.whatsapp.net',
      recipient: ANA.jid,
      t: String(T),
    };
    const message = { conversation: 'By number' };
    await device.decrypted(attrs, { deviceSentMessage: { destinationJid: ANA.jid, message } });
    await device.message('O');
    await device.all(sql`
      create or replace function public.refuse_lid() returns trigger language plpgsql as $f$
      begin raise exception 'refused'; end $f$`);
    await device.all(sql`
      create or replace trigger refuse_lid before insert on public.contact_identities
        for each row when (new.kind = 'lid') execute function public.refuse_lid()`);
    const heard = device.socket();
    heard.mappings.set('51987654321', '99887766554433');
    heard.open();
    heard.receipt({ id: 'O', from: ANA.lid, t: String(T), type: 'read' });
    await hasStatus(device, 'O', 'read');
    await device.all(sql`drop trigger refuse_lid on public.contact_identities`);
  });

  it('do not make read what their sender wrote: only our own phone can say so', async () => {
    const device = await world.device();
    const heard = device.socket();
    for (const id of ['A', 'B']) await device.decrypted(attrsOf(id), { conversation: 'Unread' });
    await device.settled();
    await mine(device, 'M');
    await device.message('M');
    for (const id of ['A', 'EARLY', 'M'])
      heard.receipt({ id, from: ANA.lid, type: 'read', t: String(T) });
    await hasStatus(device, 'M', 'read');
    await device.decrypted(attrsOf('EARLY'), { conversation: 'Unread' });
    await device.settled();
    for (const id of ['A', 'B', 'EARLY'])
      expect(await device.message(id)).toMatchObject({ status: 'received' });
    expect(await device.chats()).toMatchObject([{ unread_count: '3' }]);
  });

  it('of one of a group are nobody else’s', async () => {
    const device = await world.device();
    await device.all(
      sql`update public.devices set receive_groups = true where id = ${device.deviceId}`,
    );
    const attrs = {
      id: 'G',
      from: GROUP,
      participant: '700000000000001:0@lid',
      addressing_mode: 'lid',
      t: String(T),
    };
    await device.decrypted(attrs, { conversation: 'To all' });
    await device.message('G');
    device
      .socket()
      .receipt({ id: 'G', from: GROUP, participant: ANA.lid, type: 'read', t: String(T) });
    await hasStatus(device, 'G', 'delivered');
  });
});

describe('what the server says', () => {
  it('is that it has a message of ours', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('IN'), { conversation: 'Hi' });
    const { chat_id: chatId } = await device.message('IN');
    await world.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_id, body, is_from_me, status)
      values (${device.accountId}, ${chatId}, 'OUT', 'Ours', true, 'sending'),
        (${device.accountId}, ${chatId}, 'REFUSED', 'Ours', true, 'sending')`);
    const heard = device.socket();
    heard.ack({ id: 'REFUSED', from: ANA.lid, error: '463', t: String(T) });
    heard.ack({ id: 'OUT', from: ANA.lid, t: String(T) });
    await hasStatus(device, 'OUT', 'sent');
    expect(await device.message('REFUSED')).toMatchObject({ status: 'sending' });
  });
});

describe('our own phone', () => {
  it('has read what comes only now', async () => {
    const device = await world.device();
    const heard = device.socket();
    await device.decrypted(attrsOf('FIRST'), { conversation: 'Unread' });
    await device.settled();
    heard.receipt({
      id: 'NEXT',
      from: '51900000001:0@s.whatsapp.net',
      recipient: ANA.lid,
      type: 'read-self',
      t: String(T),
    });
    await isParked(device, 'NEXT read-self');
    await device.decrypted(attrsOf('NEXT'), { conversation: 'Read already' });
    await hasStatus(device, 'NEXT', 'read');
    expect(await parked(device)).toEqual([]);
    expect(await device.chats()).toMatchObject([{ unread_count: '1' }]);
  });

  it('has read a chat: so has everybody here', async () => {
    const device = await world.device();
    for (const id of ['A', 'B']) await device.decrypted(attrsOf(id), { conversation: 'Unread' });
    await device.settled();
    expect(await device.chats()).toMatchObject([{ unread_count: '2' }]);
    const read = {
      id: 'B',
      from: '51900000001:0@s.whatsapp.net',
      recipient: ANA.lid,
      type: 'read-self',
      t: String(T),
    };
    device.socket().receipt(read);
    await eventually(async () => (await device.chats())[0]?.['unread_count'] === '0', {
      says: 'it is read',
    });
    await device.decrypted(attrsOf('C', { t: String(T + 60) }), { conversation: 'New' });
    await device.settled();
    expect(await device.chats()).toMatchObject([{ unread_count: '1' }]);
  });
});
