import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import { markChatRead } from '../../../server/commands/mark-chat-read.ts';
import { openChat } from '../../../server/commands/open-chat.ts';
import { at } from '../../migrations/conversation-world.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;

beforeAll(async () => {
  world = await openCommandWorld();
});

afterAll(() => world.close());

type Opening = Parameters<typeof openChat>[1];

const open = (opening: Partial<Opening>) =>
  world.run((tx) =>
    openChat(tx, { accountId: world.accountId, deviceId: world.deviceId, ...opening }),
  );
const chatOf = (id: number) =>
  world.one(sql`select jid, name, contact_id, device_id from public.chats where id = ${id}`);
const newContact = async (values: {
  jid?: string;
  lid?: string;
  phone?: string;
  name?: string;
}) => {
  const { id } = await world.one(sql`
    insert into public.contacts (account_id, jid, lid, phone, name)
    values (${world.accountId}, ${values.jid ?? null}, ${values.lid ?? null}, ${values.phone ?? null},
      ${values.name ?? null})
    returning id`);
  return Number(id);
};

describe('a chat that is opened', () => {
  it('is made with its contact, named as its maker says, in six statements', async () => {
    const { phone, jid } = world.newNumber();
    const { value, statements } = await world.counted((tx) =>
      openChat(tx, { accountId: world.accountId, deviceId: world.deviceId, phone, name: 'Ana' }),
    );
    expect(statements).toBe(6);
    expect(value).toMatchObject({ created: true, isNewContact: true });
    expect(await chatOf(value.id)).toMatchObject({
      jid,
      name: 'Ana',
      device_id: String(world.deviceId),
    });
    expect(
      await world.one(
        sql`select phone, jid, name from public.contacts where id = ${value.contactId}`,
      ),
    ).toEqual({ phone, jid: null, name: 'Ana' });
    expect(await world.leadsOf(value.contactId)).toEqual([]);
  });

  it('is the one there is, by one statement that writes nothing, whichever address it is asked by', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}5@lid`;
    const { chatId, contactId } = await world.receive({ jid, lid });
    const written = await world.logged(async () => {
      for (const opening of [
        { phone },
        { jid },
        { jid: lid },
        { jid: `${phone}:3@c.us` },
        { contactId },
      ])
        expect(await open(opening)).toMatchObject({ id: chatId, created: false });
    });
    expect(written).toEqual([]);
    const { statements } = await world.counted((tx) =>
      openChat(tx, { accountId: world.accountId, deviceId: world.deviceId, jid }),
    );
    expect(statements).toBe(1);
  });

  it('is another one by another device, with the same contact', async () => {
    const { phone } = world.newNumber();
    const first = await open({ phone });
    const second = await open({ phone, deviceId: world.ours.deviceIds[1] ?? 0 });
    expect(second).toMatchObject({
      created: true,
      contactId: first.contactId,
      isNewContact: false,
    });
    expect(second.id).not.toBe(first.id);
  });

  it('begins at the address that WhatsApp has for the contact', async () => {
    const jid = '5215500001111@s.whatsapp.net';
    const contactId = await newContact({ jid, phone: '525500001111' });
    const opened = await open({ phone: '525500001111' });
    expect(opened).toMatchObject({ created: true, contactId });
    expect(await chatOf(opened.id)).toMatchObject({ jid });
  });

  it('is found by the LID it began with when it is opened by the number', async () => {
    const { phone } = world.newNumber();
    const lid = `${phone}6@lid`;
    const { chatId, contactId } = await world.receive({ jid: lid });
    await world.all(sql`update public.contacts set phone = ${phone} where id = ${contactId}`);
    expect(await open({ phone })).toMatchObject({ id: chatId, created: false });
  });

  it('is one per number of a contact that has several', async () => {
    const [one, two] = [world.newNumber(), world.newNumber()];
    const contactId = await newContact({ phone: one.phone });
    await world.all(sql`
      insert into public.contact_identities (account_id, contact_id, kind, value)
      values (${world.accountId}, ${contactId}, 'phone', ${two.phone})`);
    const first = await open({ phone: one.phone });
    const second = await open({ phone: two.phone });
    expect(second).toMatchObject({ created: true, contactId });
    expect(await chatOf(second.id)).toMatchObject({ jid: two.jid });
    expect((await open({ phone: one.phone })).id).toBe(first.id);
  });

  it('is of a contact by whatever address it has, and refused without one', async () => {
    const { phone, jid } = world.newNumber();
    expect(await chatOf((await open({ contactId: await newContact({ phone }) })).id)).toMatchObject(
      { jid },
    );
    const byLid = await open({ contactId: await newContact({ lid: '4242@lid' }) });
    expect(await chatOf(byLid.id)).toMatchObject({ jid: '4242@lid' });
    const nameless = await newContact({ name: 'No address' });
    await expect(open({ contactId: nameless })).rejects.toMatchObject({ code: 'unprocessable' });
  });

  it('is neither with a foreign contact nor by a foreign device', async () => {
    const [contactId] = world.theirs.contactIds;
    await expect(open({ contactId })).rejects.toMatchObject({ code: 'not_found' });
    const { phone } = world.newNumber();
    const [deviceId = 0] = world.theirs.deviceIds;
    await expect(open({ phone, deviceId })).rejects.toMatchObject({ code: 'unprocessable' });
    await expect(open({ jid: 'status@broadcast' })).rejects.toMatchObject({
      code: 'unprocessable',
    });
  });

  it('is one when many open it at once by different spellings of a number', async () => {
    const contactId = await newContact({ phone: '5511987650000' });
    const spellings = ['5511987650000', '551187650000'];
    const opened = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        open(index % 2 ? { phone: spellings[0] } : { jid: `${spellings[1]}@s.whatsapp.net` }),
      ),
    );
    expect(new Set(opened.map(({ id }) => id)).size).toBe(1);
    expect(opened.filter(({ created }) => created)).toHaveLength(1);
    expect(opened[0]?.contactId).toBe(contactId);
  });

  it('waits for a contact that is being merged away, and is the chat of the one that stays', async () => {
    const { phone } = world.newNumber();
    const loser = await newContact({ phone });
    const winner = await newContact({ name: 'Stays' });
    let opening: ReturnType<typeof open> | undefined;
    await world.run(async (tx) => {
      await tx.query(sql`select id from public.contacts where id = ${loser} for update`);
      opening = open({ phone });
      await world.untilOneWaits();
      await tx.query(
        sql`update public.contact_identities set contact_id = ${winner} where contact_id = ${loser}`,
      );
      await tx.query(sql`delete from public.contacts where id = ${loser}`);
    });
    expect(await opening).toMatchObject({ created: true, contactId: winner });
  });
});

describe('a chat that is read', () => {
  const mark = (
    chatId: number,
    isRead: boolean,
    more: { upTo?: string; devices?: number[] } = {},
  ) => world.run((tx) => markChatRead(tx, { accountId: world.accountId, chatId, isRead, ...more }));
  const newUnread = async () => {
    const chat = await world.newChat();
    await world.say(
      { chat, at: at('09:00') },
      { chat, at: at('09:10') },
      { chat, at: at('09:20'), mine: true },
    );
    return chat;
  };

  it('has nothing unread up to its newest message of theirs', async () => {
    const chat = await newUnread();
    expect(await mark(chat, true)).toBe(true);
    expect(await world.chat(chat)).toMatchObject({
      unread_count: '0',
      is_unread: 'f',
      read_at: '09:10',
    });
    await world.say({ chat, at: at('09:11') });
    expect(await world.chat(chat)).toMatchObject({ unread_count: '1', is_unread: 't' });
  });

  it('is read as far as the phone says', async () => {
    const chat = await newUnread();
    await mark(chat, true, { upTo: at('09:05') });
    expect(await world.chat(chat)).toMatchObject({ unread_count: '1', read_at: '09:05' });
    await mark(chat, true, { upTo: at('09:01') });
    expect(await world.chat(chat)).toMatchObject({ unread_count: '1', read_at: '09:05' });
  });

  it('is written once, and so is one that is marked as unread', async () => {
    const chat = await newUnread();
    const twice = (isRead: boolean) =>
      world.logged(async () => {
        expect(await mark(chat, isRead)).toBe(true);
        expect(await mark(chat, isRead)).toBe(true);
      });
    expect(await twice(false)).toEqual([]);
    expect(await twice(true)).toEqual(['chats: UPDATE']);
    expect(await twice(false)).toEqual(['chats: UPDATE']);
    expect(await world.chat(chat)).toMatchObject({ unread_count: '0', is_unread: 't' });
    expect(await twice(true)).toEqual(['chats: UPDATE']);
    expect(await world.chat(chat)).toMatchObject({ unread_count: '0', is_unread: 'f' });
    expect(await mark(await world.newChat(), true)).toBe(true);
  });

  it('is one of the account, and of the devices of the role', async () => {
    const chat = await newUnread();
    const [foreign = 0] = world.theirs.chatIds;
    expect(await mark(foreign, true)).toBe(false);
    expect(await mark(chat, true, { devices: [world.ours.deviceIds[1] ?? 0] })).toBe(false);
    expect((await world.chat(chat))['unread_count']).toBe('2');
    expect(await mark(chat, true, { devices: [world.deviceId] })).toBe(true);
    expect((await world.chat(chat))['unread_count']).toBe('0');
  });
});
