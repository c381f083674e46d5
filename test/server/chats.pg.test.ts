import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { restrictedTo } from './restricted-role.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let device: number;
let otherDevice: number;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  [device, otherDevice] = one.deviceIds as [number, number];
});

type By = { token: string };
const open = (body: object, caller: By = one) => api.ask(caller, 'POST', '/api/chats', { body });
const mark = (chat: number | undefined, verb: string, caller: By = one) =>
  api.ask(caller, 'POST', `/api/chats/${chat}/${verb}`);
const get = (chat: number | undefined, caller: By = one) =>
  api.ask(caller, 'GET', `/api/chats/${chat}`);
const remove = (chat: number | undefined, caller: By = one, headers = {}) =>
  api.ask(caller, 'DELETE', `/api/chats/${chat}`, { headers });
const change = (chat: number | undefined, body: object, caller: By = one) =>
  api.ask(caller, 'PATCH', `/api/chats/${chat}`, { body });
const count = async (table: ReturnType<typeof sql>): Promise<number> => {
  const [row] = await api.owner.query(
    sql`select count(*) as n from ${table} where account_id = ${one.accountId}`,
  );
  return Number(row?.['n']);
};
/** Statements since the list was emptied, without the one that asks who is calling. */
const ownStatements = (): string[] =>
  api.statements.filter((text) => !text.includes('public.sessions'));

describe('a chat is opened', () => {
  test('by a phone number as people type it, and is the same one however it is typed', async () => {
    const first = await open({ device_id: device, phone: '987 654 321', name: 'Ana' });
    expect(first.status).toBe(201);
    expect(first.headers['location']).toBe(`/api/chats/${first.body.data.id}`);
    expect(first.body.data).toMatchObject({
      device_id: device,
      jid: '51987654321@s.whatsapp.net',
      name: 'Ana',
      unread_count: 0,
      is_archived: false,
      contact: { phone: '51987654321' },
      device: { id: device },
      tags: [],
    });
    expect((await get(first.body.data.id)).text).toBe(first.text);
    const contacts = await count(sql`public.contacts`);
    for (const phone of ['+51 987-654-321', "'51987654321", '00 51 987654321']) {
      const again = await open({ device_id: device, phone });
      expect([phone, again.status, again.body.data.id]).toEqual([phone, 200, first.body.data.id]);
      expect(again.headers['location']).toBeUndefined();
    }
    expect(await count(sql`public.contacts`)).toBe(contacts);
    // Another device has a conversation of its own with the same contact.
    const elsewhere = await open({ device_id: otherDevice, phone: '987654321' });
    expect(elsewhere.status).toBe(201);
    expect(elsewhere.body.data.contact_id).toBe(first.body.data.contact_id);
  });

  test('with the country of the account', async () => {
    await api.owner.query(
      sql`update public.accounts set default_country = 'MX' where id = ${two.accountId}`,
    );
    const answer = await open({ device_id: two.deviceIds[0], phone: '55 1234 5678' }, two);
    expect(answer.status).toBe(201);
    expect(answer.body.data.contact.phone).toBe('525512345678');
  });

  test('by an address or a contact', async () => {
    const group = await open({ device_id: device, jid: '120363000000000000@g.us', name: 'Team' });
    expect(group.status).toBe(201);
    expect(group.body.data).toMatchObject({ name: 'Team', contact: { is_group: true } });
    const person = await open({ device_id: device, jid: '51911222333:4@S.WhatsApp.net' });
    expect(person.body.data.jid).toBe('51911222333@s.whatsapp.net');
    const contactId = one.contactIds[0];
    const contact = await open({ device_id: device, contact_id: contactId });
    expect(contact.status).toBe(201);
    expect(contact.body.data.contact_id).toBe(contactId);
    expect((await open({ device_id: device, contact_id: contactId })).status).toBe(200);
  });

  test('and the reason is said when what was typed is no number', async () => {
    for (const [phone, reason] of [
      ['', 'empty'],
      ['12', 'length'],
      ['Ana', 'letters'],
      ['111111111', 'placeholder'],
      ['123456789012@lid', 'lid'],
    ]) {
      const answer = await open({ device_id: device, phone });
      expect([phone, answer.status]).toEqual([phone, 400]);
      expect(answer.body.details.fields).toMatchObject([{ field: 'body.phone', reason }]);
      expect(answer.body.details.fields[0].says.length).toBeGreaterThan(10);
    }
    for (const jid of ['status@broadcast', '1@newsletter', 'nobody'])
      expect((await open({ device_id: device, jid })).body.details.fields[0].field).toBe(
        'body.jid',
      );
    for (const body of [
      {},
      { device_id: device },
      { phone: '987654321' },
      { device_id: device, phone: '987654321', jid: '1@g.us' },
      { device_id: device, contact_id: one.contactIds[0], name: 'x' },
    ])
      expect((await open(body)).status).toBe(400);
  });

  test('once, when many open it at the same time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => open({ device_id: device, phone: '987000111' })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(new Set(answers.map(({ body }) => body.data.id)).size).toBe(1);
  });

  test('only by a device and with a contact that are there', async () => {
    const before = await count(sql`public.chats`);
    const foreign = await open({ device_id: two.deviceIds[0], phone: '987654999' });
    expect(foreign.status).toBe(422);
    expect((await open({ device_id: device, contact_id: two.contactIds[0] })).status).toBe(404);
    const caller = await restrictedTo(api, one, [device]);
    const hidden = { device_id: otherDevice, phone: '987654999' };
    expect((await open(hidden, caller)).status).toBe(422);
    expect((await open({ ...hidden, device_id: device }, caller)).status).toBe(201);
    expect(await count(sql`public.chats`)).toBe(before + 1);
  });
});

describe('reading', () => {
  test('a chat reads every message of it, without writing one, and answers the chat', async () => {
    const [chat] = one.chatIds;
    expect((await get(chat)).body.data).toMatchObject({ unread_count: 2, is_unread: true });
    const stamps = await api.owner.query(
      sql`select updated_at from public.messages where chat_id = ${chat} order by id`,
    );
    api.statements.length = 0;
    const answer = await mark(chat, 'read');
    expect(ownStatements()).toHaveLength(2);
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({ unread_count: 0, is_unread: false });
    expect((await get(chat)).text).toBe(answer.text);
    const again = await mark(chat, 'read');
    expect(again.text).toBe(answer.text);
    expect(
      await api.owner.query(
        sql`select updated_at from public.messages where chat_id = ${chat} order by id`,
      ),
    ).toEqual(stamps);
  });

  test('may be undone by hand, and the list finds it', async () => {
    const [chat] = one.chatIds;
    await mark(chat, 'read');
    const answer = await mark(chat, 'unread');
    expect(answer.body.data).toMatchObject({ unread_count: 0, is_unread: true });
    const unread = await api.ask(one, 'GET', '/api/chats?unread=true');
    expect(unread.body.data.map(({ id }: { id: number }) => id)).toEqual([chat]);
    await mark(chat, 'read');
    expect((await api.ask(one, 'GET', '/api/chats?unread=true')).body.data).toEqual([]);
  });
});

describe('a chat', () => {
  test('is archived, pinned, muted and named by a plain change, and listed so', async () => {
    const chat = one.chatIds[1];
    const until = '2030-01-01T00:00:00.000000Z';
    const set = { is_archived: true, is_pinned: true, muted_until: until, name: 'Later' };
    expect((await change(chat, set)).body.data).toMatchObject(set);
    for (const filter of ['archived', 'pinned']) {
      const { body } = await api.ask(one, 'GET', `/api/chats?${filter}=true`);
      expect(body.data.map(({ id }: { id: number }) => id)).toEqual([chat]);
    }
    const unset = { is_archived: false, is_pinned: false, muted_until: null, is_unread: true };
    const changed = (await change(chat, unset)).body.data;
    expect(changed).toMatchObject({ is_archived: false, is_unread: true });
    expect(changed.muted_until).toBeUndefined();
    for (const body of [{ unread_count: 0 }, { contact_id: one.contactIds[2] }, { jid: '1@g.us' }])
      expect((await change(chat, body)).status).toBe(400);
  });

  test('is listed with contact, device and tags by one statement', async () => {
    api.statements.length = 0;
    const { body } = await api.ask(one, 'GET', '/api/chats');
    expect(ownStatements()).toHaveLength(1);
    const first = body.data.find(({ id }: { id: number }) => id === one.chatIds[0]);
    expect(first).toMatchObject({
      contact: { id: one.contactIds[0] },
      device: { id: otherDevice },
    });
    expect(first.tags).toHaveLength(2);
  });

  test('is deleted with its messages and the files that came by it, its contact stays', async () => {
    const { body } = await open({ device_id: device, phone: '987111222' });
    const { id, contact_id: contactId } = body.data;
    const media = await api.owner.query(sql`
      insert into public.media (account_id, device_id, object_key, mimetype, state, created_by)
      select ${one.accountId}, case when number <> 4 then ${device}::bigint end, 'chat-' || number, 'image/png', 'stored',
        case when number = 2 then ${one.userId}::bigint end
      from generate_series(1, 4) as number
      returning id`);
    // The last was uploaded by a user who is no more.
    const [received, uploaded, elsewhere, orphaned] = media.map((row) => Number(row['id']));
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_type, media_id, is_from_me)
      select ${one.accountId}, ${id}, 'image', media_id, false
      from unnest(${[received, uploaded, elsewhere, orphaned]}::bigint[]) as media_id`);
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_type, media_id, is_from_me)
      values (${one.accountId}, ${one.chatIds[2]}, 'image', ${elsewhere}, true)`);
    const before = await get(id);
    api.statements.length = 0;
    const answer = await remove(id);
    expect(ownStatements()).toHaveLength(5);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(before.body);
    expect((await get(id)).status).toBe(404);
    expect((await api.ask(one, 'GET', `/api/chats/${id}/messages`)).status).toBe(404);
    expect((await api.ask(one, 'GET', `/api/contacts/${contactId}`)).status).toBe(200);
    const left = await api.owner.query(sql`
      select id from public.media where id = any(${[received, uploaded, elsewhere, orphaned]}::bigint[]) order by id`);
    expect(left.map((row) => Number(row['id']))).toEqual([uploaded, elsewhere, orphaned]);
    const removals = await api.owner.query(
      sql`select object_key from private.media_removals where object_key like 'chat-%'`,
    );
    expect(removals.map((row) => row['object_key'])).toEqual(['chat-1']);
    expect((await remove(id)).status).toBe(404);
  });

  test('is not deleted by who has seen an older one', async () => {
    const chat = one.chatIds[3];
    const { headers } = await get(chat);
    await change(chat, { name: 'Newer' });
    const late = await remove(chat, one, { 'if-match': headers['etag'] ?? '' });
    expect(late.status).toBe(412);
    expect((await get(chat)).status).toBe(200);
  });
});

test('a chat of another account or another device is not there, whatever is done to it', async () => {
  // The first chat is on the second device.
  const [chat] = one.chatIds;
  const before = await get(chat);
  const outside = await restrictedTo(api, one, [device]);
  for (const caller of [two, outside]) {
    const answers = [
      get(chat, caller),
      mark(chat, 'read', caller),
      mark(chat, 'unread', caller),
      change(chat, { is_pinned: true }, caller),
      remove(chat, caller),
      api.ask(caller, 'GET', `/api/chats/${chat}/messages`),
    ];
    for (const { status } of await Promise.all(answers)) expect(status).toBe(404);
  }
  const listed = await api.ask(outside, 'GET', '/api/chats?limit=200');
  expect(listed.body.data.length).toBeGreaterThan(0);
  for (const { device_id: id } of listed.body.data) expect(id).toBe(device);
  expect((await get(chat)).text).toBe(before.text);
  const leads = { token: await api.tokenOf(one, ['leads']) };
  expect((await open({ device_id: device, phone: '987654321' }, leads)).status).toBe(403);
  expect((await mark(chat, 'read', leads)).status).toBe(403);
  expect((await remove(chat, leads)).status).toBe(403);
});
