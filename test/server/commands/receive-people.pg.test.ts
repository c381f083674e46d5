import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import { openChat } from '../../../server/commands/open-chat.ts';
import { receiveMessage } from '../../../server/commands/receive-message.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;

beforeAll(async () => {
  world = await openCommandWorld();
});

afterAll(() => world.close());

const contactOf = (id: number) =>
  world.one(sql`
    select jid, lid, phone, name, push_name, is_group, source from public.contacts where id = ${id}`);
const chatsOf = (contactId: number) =>
  world.all(
    sql`select id, jid, name from public.chats where contact_id = ${contactId} order by id`,
  );

describe('a person', () => {
  it('who was opened by number is answered at the address WhatsApp has for it', async () => {
    const { id } = await world.run((tx) =>
      openChat(tx, {
        accountId: world.accountId,
        deviceId: world.deviceId,
        phone: '5491123450001',
      }),
    );
    const jid = '541123450001@s.whatsapp.net';
    const { chatId, contactId } = await world.receive({ jid });
    expect(chatId).toBe(id);
    expect(await chatsOf(contactId)).toMatchObject([{ jid }]);
    expect(await contactOf(contactId)).toMatchObject({ jid, phone: '5491123450001' });
  });

  it('who was known by LID only is the same when the number becomes known, in the same chat', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}3@lid`;
    const first = await world.receive({ jid: lid, fromName: 'Ana' });
    expect(await contactOf(first.contactId)).toMatchObject({ lid, jid: null, phone: null });
    const second = await world.receive({ jid, lid });
    expect(second).toMatchObject({
      chatId: first.chatId,
      contactId: first.contactId,
      leadId: undefined,
    });
    expect(await contactOf(first.contactId)).toMatchObject({ lid, jid, phone });
    const third = await world.receive({ jid });
    expect(third.chatId).toBe(first.chatId);
  });

  it('who writes for the first time by two devices at once is one lead', async () => {
    const { jid } = world.newNumber();
    const { accountId } = world;
    const [one = 0, two = 0] = world.ours.deviceIds;
    for (const deviceId of [one, two])
      await world.run((tx) => openChat(tx, { accountId, deviceId, jid }));
    let second: ReturnType<CommandWorld['receive']> | undefined;
    const first = await world.run(async (tx) => {
      const received = await receiveMessage(tx, world.options({ jid, deviceId: one }));
      second = world.receive({ jid, deviceId: two });
      await world.untilOneWaits();
      return received;
    });
    expect(first.leadId).toBeDefined();
    expect(await second).toMatchObject({ contactId: first.contactId, leadId: undefined });
    expect(await world.leadsOf(first.contactId)).toHaveLength(1);
  });

  it('who is two contacts becomes one when the LID of one is said to be the number of the other', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}4@lid`;
    const byLid = await world.receive({ jid: lid, fromName: 'Ana' });
    const { id: known } = await world.one(sql`
      insert into public.contacts (account_id, phone, name) values (${world.accountId}, ${phone}, 'From Kommo')
      returning id`);
    const both = await world.receive({ jid: lid, lid, messageId: 'SAME' });
    expect(both.contactId).toBe(byLid.contactId);
    const joined = await world.receive({ jid, lid });
    expect(joined).toMatchObject({ contactId: Number(known), chatId: byLid.chatId });
    expect(await contactOf(Number(known))).toMatchObject({ jid, lid, phone, push_name: 'Ana' });
    expect(
      await world.all(sql`select id from public.contacts where id = ${byLid.contactId}`),
    ).toEqual([]);
    expect(await world.leadsOf(Number(known))).toMatchObject([{ id: String(byLid.leadId) }]);
  });

  it('who is known from elsewhere by phone is not made again', async () => {
    const { phone, jid } = world.newNumber();
    const { id } = await world.one(sql`
      insert into public.contacts (account_id, phone, name) values (${world.accountId}, ${phone}, 'From Kommo')
      returning id`);
    const received = await world.receive({ jid });
    expect(received.contactId).toBe(Number(id));
    expect(await contactOf(received.contactId)).toMatchObject({ jid, name: 'From Kommo' });
    expect(received.leadId).toBeDefined();
  });
});
