import { beforeAll, describe, expect, test } from 'vitest';
import { PHONE_REFUSALS } from '../../domain/phone.ts';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let narrow: { token: string };

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  await api.ask(one, 'PATCH', '/api/account', { body: { default_country: 'PE' } });
  narrow = { token: await api.tokenOf(one, ['contacts', 'chats', 'tags']) };
  await api.owner.query(sql`
    update public.roles set device_ids = array[${one.deviceIds[0]}::bigint]
    where account_id = ${one.accountId} and permissions = '{contacts,chats,tags}'`);
});

const post = (path: string, body?: object, caller: { token: string } = one) =>
  api.ask(caller, 'POST', path, { body });
const patch = (path: string, body: object) => api.ask(one, 'PATCH', path, { body });
const create = async (body: object = { name: 'Somebody' }): Promise<number> =>
  (await post('/api/contacts', body)).body.data.id;

async function giveChat(contactId: number, device = 0): Promise<number> {
  const [chat] = await api.owner.query(sql`
    insert into public.chats (account_id, device_id, contact_id, jid)
    values (${one.accountId}, ${one.deviceIds[device]}, ${contactId}, ${`chat-of-${contactId}-${device}`})
    returning id`);
  return Number(chat?.['id']);
}

test('an address of WhatsApp is stored as messages from there will name it, or refused', async () => {
  for (const [jid, stored] of [
    ['51987111222:5@S.WhatsApp.NET', { jid: '51987111222@s.whatsapp.net', is_group: false }],
    ['51987111333@c.us', { jid: '51987111333@s.whatsapp.net', is_group: false }],
    ['120363000000000001@g.us', { jid: '120363000000000001@g.us', is_group: true }],
    ['99887766554433@lid', { lid: '99887766554433@lid', is_group: false }],
  ] as const) {
    const { status, body } = await post('/api/contacts', { name: 'x', jid });
    const { id: _id, name: _name, ...made } = body.data;
    expect({ status, made }).toMatchObject({ status: 201, made: stored });
    expect('jid' in made).toBe('jid' in stored);
  }
  for (const jid of ['', '@', 'abc', '0@s.whatsapp.net', 'status@broadcast', '1@newsletter']) {
    const answer = await post('/api/contacts', { name: 'x', jid });
    const field = answer.body.details?.fields[0].field;
    expect({ jid, status: answer.status, field }).toEqual({ jid, status: 400, field: 'body.jid' });
  }
  const twice = await post('/api/contacts', { name: 'y', jid: '51987111222@s.whatsapp.net' });
  expect(twice.status).toBe(409);
});

describe("a contact's phone", () => {
  test.each([
    ['987 654 321', '51987654321'],
    ['+51 987-654-321', '51987654321'],
    ['0051987654321', '51987654321'],
    ["'51987654321", '51987654321'],
    ['+55 11 91234-5678', '5511912345678'],
  ])('typed as %s is stored as %s', async (phone, stored) => {
    const made = await post('/api/contacts', { name: 'x', phone });
    expect([made.status, made.body.data.phone]).toEqual([201, stored]);
    const path = `/api/contacts/${await create()}`;
    expect((await patch(path, { phone })).body.data.phone).toBe(stored);
  });

  test('that is none is refused with the field and the reason', async () => {
    const id = await create();
    for (const [phone, says] of [
      ['', PHONE_REFUSALS.empty],
      ['12345', PHONE_REFUSALS.length],
      ['call me', PHONE_REFUSALS.letters],
      ['5.1987E+10', PHONE_REFUSALS.digits_lost],
      ['123456789@lid', PHONE_REFUSALS.lid],
    ]) {
      for (const answer of [
        await post('/api/contacts', { name: 'x', phone }),
        await patch(`/api/contacts/${id}`, { phone }),
      ]) {
        expect({ phone, status: answer.status }).toEqual({ phone, status: 400 });
        expect(answer.body.details.fields[0]).toMatchObject({ field: 'body.phone', says });
        expect(answer.body.error).toContain(says);
      }
    }
  });

  test('sent back as it is stored stays, under any country, and null takes it away', async () => {
    const id = await create({ name: 'x', phone: '+1 604 555 0199' });
    const path = `/api/contacts/${id}`;
    const { body } = await api.ask(one, 'GET', path);
    for (const country of ['BR', 'AT', 'PE']) {
      await api.ask(one, 'PATCH', '/api/account', { body: { default_country: country } });
      const again = await patch(path, { phone: body.data.phone });
      expect(again.body.data).toMatchObject({ phone: body.data.phone });
      expect(again.body.data.updated_at).toBe(body.data.updated_at);
    }
    expect((await patch(path, { phone: null })).body.data.phone).toBeUndefined();
  });
});

describe('do-not-contact', () => {
  test('is set with who and why, and taken back', async () => {
    const path = `/api/contacts/${await create()}/do-not-contact`;
    const set = await post(path, { reason: 'asked us' });
    expect(set.body.data).toMatchObject({
      do_not_contact: true,
      do_not_contact_by: one.userId,
      do_not_contact_reason: 'asked us',
    });
    const again = await post(path);
    expect(again.body.data.updated_at).toBe(set.body.data.updated_at);
    const taken = await api.ask(one, 'DELETE', path);
    expect(taken.body.data.do_not_contact).toBe(false);
    expect(taken.body.data.do_not_contact_reason).toBeUndefined();
  });

  test('is nothing to set on what is not there', async () => {
    const path = `/api/contacts/${two.contactIds[0]}/do-not-contact`;
    expect((await post(path)).status).toBe(404);
    expect((await api.ask(one, 'DELETE', path)).status).toBe(404);
    expect((await post(path, { reason: 'x'.repeat(501) })).status).toBe(400);
  });
});

describe('a name', () => {
  async function known(names: readonly (string | null)[], pushName: string | null) {
    const id = await create({ name: 'Typed', custom_name: 'Nickname' });
    await api.owner.query(sql`update public.contacts set push_name = ${pushName} where id = ${id}`);
    for (const [place, name] of names.entries()) {
      await api.owner.query(sql`
        insert into public.contact_device_names (account_id, contact_id, device_id, name)
        values (${one.accountId}, ${id}, ${one.deviceIds[place]}, ${name})`);
    }
    return id;
  }
  const reset = (id: number, body?: object, caller: { token: string } = one) =>
    post(`/api/contacts/${id}/reset-name`, body, caller);
  const called = ({ body }: Answer) => [body.data.display_name, body.data.custom_name];

  test("is taken from the device's address book, of the one that is named", async () => {
    const id = await known(['In the first', 'In the second'], 'Push');
    expect(called(await reset(id, { device_id: one.deviceIds[0] }))).toEqual([
      'In the first',
      undefined,
    ]);
    expect(called(await reset(id))).toEqual(['In the second', undefined]);
  });

  test('is what the contact calls itself where no device has one, or its own', async () => {
    expect(called(await reset(await known([null], 'Push')))).toEqual(['Push', undefined]);
    expect(called(await reset(await known([], null)))).toEqual(['Typed', undefined]);
  });

  test('is not taken from a device that does not know it, or that the role does not see', async () => {
    const id = await known(['In the first', 'In the second'], null);
    expect((await reset(id, { device_id: two.deviceIds[0] })).status).toBe(422);
    expect((await reset(id, { device_id: one.deviceIds[1] }, narrow)).status).toBe(422);
    expect(called(await reset(id, undefined, narrow))).toEqual(['In the first', undefined]);
    expect((await reset(two.contactIds[0] ?? 0)).status).toBe(404);
  });
});

describe('deleting', () => {
  const remove = (id: number, query = '', caller: { token: string } = one) =>
    api.ask(caller, 'DELETE', `/api/contacts/${id}${query}`);

  test('a contact with chats waits until that is asked for', async () => {
    const id = await create();
    const chat = await giveChat(id);
    const lead = await post('/api/leads', { title: 'x', contact_id: id });
    const refused = await remove(id, '?with_leads=true');
    expect([refused.status, refused.body.details]).toEqual([409, { chats: 1 }]);
    expect((await api.ask(one, 'GET', `/api/leads/${lead.body.data.id}`)).status).toBe(200);
    expect((await remove(id)).body.details).toEqual({ leads: 1, chats: 1 });
    const leadless = { token: await api.tokenOf(one, ['contacts', 'leads']) };
    expect((await remove(id, '?with_leads=true&with_chats=true', leadless)).status).toBe(403);
    expect((await remove(id, '?with_leads=true&with_chats=true')).status).toBe(200);
    expect((await api.ask(one, 'GET', `/api/chats/${chat}`)).status).toBe(404);
  });

  test('a contact with a chat of a device that the role does not see is refused', async () => {
    const id = await create();
    await giveChat(id, 0);
    await giveChat(id, 1);
    expect((await remove(id, '?with_chats=true', narrow)).status).toBe(403);
    const seen = await create();
    await giveChat(seen, 0);
    expect((await remove(seen, '?with_chats=true', narrow)).status).toBe(200);
  });
});

describe('many contacts at once', () => {
  const bulk = (body: object, caller: { token: string } = one) =>
    post('/api/contacts/bulk', body, caller);

  test('are tagged and untagged by one statement, counted, what is so already left alone', async () => {
    const ids = [await create(), await create(), two.contactIds[0] ?? 0];
    const tag_ids = one.tagIds.slice(0, 2);
    api.statements.length = 0;
    expect((await bulk({ action: 'tag', ids, tag_ids })).body.data).toEqual({
      matched: 2,
      changed: 4,
    });
    expect(api.statements.filter((text) => text.includes('contact_tags'))).toHaveLength(1);
    expect((await bulk({ action: 'tag', ids, tag_ids })).body.data.changed).toBe(0);
    const untagged = await bulk({ action: 'untag', ids, tag_ids: tag_ids.slice(0, 1) });
    expect(untagged.body.data).toEqual({ matched: 2, changed: 2 });
    const foreign = await bulk({ action: 'tag', ids, tag_ids: [one.tagIds[3], two.tagIds[0]] });
    expect(foreign.status).toBe(422);
  });

  test('are barred and let go again, with who and why', async () => {
    const ids = [await create(), await create({ name: 'x', do_not_contact: true })];
    const barred = await bulk({ action: 'do_not_contact', ids, reason: 'left us' });
    expect(barred.body.data).toEqual({ matched: 2, changed: 1 });
    expect((await api.ask(one, 'GET', `/api/contacts/${ids[0]}`)).body.data).toMatchObject({
      do_not_contact_by: one.userId,
      do_not_contact_reason: 'left us',
    });
    const let_go = await bulk({ action: 'allow_contact', ids });
    expect(let_go.body.data).toEqual({ matched: 2, changed: 2 });
  });

  test('are deleted together or not at all', async () => {
    const ids = [await create(), await create(), two.contactIds[0] ?? 0];
    await giveChat(ids[1] ?? 0);
    const refused = await bulk({ action: 'delete', ids });
    expect([refused.status, refused.body.details]).toEqual([409, { chats: 1 }]);
    expect((await api.ask(one, 'GET', `/api/contacts/${ids[0]}`)).status).toBe(200);
    const chatless = { token: await api.tokenOf(one, ['contacts']) };
    expect((await bulk({ action: 'delete', ids, with_chats: true }, chatless)).status).toBe(403);
    const gone = await bulk({ action: 'delete', ids, with_chats: true });
    expect(gone.body.data).toEqual({ matched: 2, changed: 2 });
    expect((await api.ask(one, 'GET', `/api/contacts/${ids[0]}`)).status).toBe(404);
    expect((await api.ask(two, 'GET', `/api/contacts/${ids[2]}`)).status).toBe(200);
  });

  test('are at most ten thousand, and changed in a way there is', async () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => n + 1_000_000);
    expect((await bulk({ action: 'allow_contact', ids })).body.data.matched).toBe(0);
    expect((await bulk({ action: 'allow_contact', ids: [...ids, 1] })).status).toBe(400);
    expect((await bulk({ action: 'explode', ids: [1] })).status).toBe(400);
  });
});

describe('a tag on chats', () => {
  const tag = (verb: string, body: object, caller: { token: string } = one) =>
    post(`/api/tags/${one.tagIds[3]}/${verb}`, body, caller);

  test('is put on and taken off, with leads and contacts by one statement', async () => {
    const chat = await giveChat(await create());
    const body = { chats: [chat, two.chatIds[0]], contacts: [await create()] };
    api.statements.length = 0;
    expect((await tag('assign', body)).body.data).toEqual({ matched: 2, changed: 2 });
    expect(api.statements.filter((text) => text.includes('chat_tags'))).toHaveLength(1);
    const shown = await api.ask(one, 'GET', `/api/chats/${chat}`);
    expect(shown.body.data.tags).toMatchObject([{ id: one.tagIds[3] }]);
    expect((await tag('remove', body)).body.data).toEqual({ matched: 2, changed: 2 });
  });

  test('needs the permission, and reaches no chat of a device that the role does not see', async () => {
    const contact = await create();
    const chats = [await giveChat(contact, 0), await giveChat(contact, 1)];
    const chatless = { token: await api.tokenOf(one, ['tags', 'contacts']) };
    expect((await tag('assign', { chats }, chatless)).status).toBe(403);
    expect((await tag('assign', { chats }, narrow)).body.data).toEqual({ matched: 1, changed: 1 });
    expect((await tag('assign', { chats })).body.data).toEqual({ matched: 2, changed: 1 });
    expect((await tag('remove', { chats }, narrow)).body.data).toEqual({ matched: 1, changed: 1 });
  });
});
