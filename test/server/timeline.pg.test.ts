import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let contact: number;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  const made = await api.ask(one, 'POST', '/api/contacts', { body: { name: 'Ana' } });
  contact = made.body.data.id;
  const { accountId, deviceIds, stages, tagIds } = one;
  await api.owner.query(sql`
    with chat as (
      insert into public.chats (account_id, device_id, contact_id, jid, created_at)
      select ${accountId}, (${[...deviceIds]}::bigint[])[number], ${contact}, 'ana-' || number,
        ('2026-01-0' || number || ' 10:00+00')::timestamptz
      from generate_series(1, 2) as number
      returning id
    )
    insert into public.chat_tags (account_id, chat_id, tag_id)
    select ${accountId}, id, ${tagIds[0]} from chat`);
  // Two of each at one moment, and that moment a chat's too: what is equal still has one order.
  await api.owner.query(sql`
    insert into public.leads (account_id, contact_id, title, stage_id, created_at, deleted_at)
    select ${accountId}, ${contact}, 'Lead ' || number, ${stages.active[0]}, '2026-01-02 10:00+00'::timestamptz,
      case when number = 3 then now() end
    from generate_series(1, 3) as number`);
  await api.owner.query(sql`
    insert into public.interactions (account_id, kind, contact_id, occurred_at)
    select ${accountId}, 'note', ${contact}, case number when 3 then '2026-01-03' else '2026-01-02 10:00+00' end::timestamptz
    from generate_series(1, 3) as number`);
});

type Item = { type: string; at: string; data: { id: number } };
const read = (query = '', caller: { token: string } = one, id = contact) =>
  api.ask(caller, 'GET', `/api/contacts/${id}/timeline${query}`);
const typesOf = (items: Item[]) => items.map(({ type }) => type);

describe("a contact's timeline", () => {
  test('is chats, leads and interactions, newest first, from one statement', async () => {
    await api.ask(one, 'GET', '/api/auth/me');
    api.statements.length = 0;
    const { status, body } = await read();
    expect(status).toBe(200);
    expect(api.statements.filter((text) => text.includes('public.contacts'))).toHaveLength(1);
    expect(typesOf(body.data)).toEqual([
      'interaction',
      'lead',
      'lead',
      'interaction',
      'interaction',
      'chat',
      'chat',
    ]);
    const times = body.data.map(({ at }: Item) => at);
    expect(times).toEqual(times.toSorted().toReversed());
    expect(body.next_cursor).toBeUndefined();
  });

  test('shows every row as its own route does', async () => {
    const { body, text } = await read();
    const paths: Record<string, string> = {
      chat: 'chats',
      lead: 'leads',
      interaction: 'interactions',
    };
    for (const { type, data } of body.data as Item[]) {
      const shown = await api.ask(one, 'GET', `/api/${paths[type]}/${data.id}`);
      expect(text).toContain(`"data":${shown.text.slice('{"data":'.length, -1)}}`);
    }
  });

  test('comes in pages that miss nothing and repeat nothing, whatever has the same moment', async () => {
    const all = (await read()).body.data as Item[];
    for (const limit of [1, 2, 3]) {
      const paged: Item[] = [];
      let cursor = '';
      for (;;) {
        const { body } = await read(`?limit=${limit}${cursor}`);
        expect(body.data.length).toBeLessThanOrEqual(limit);
        paged.push(...body.data);
        if (body.next_cursor === undefined) break;
        cursor = `&cursor=${body.next_cursor}`;
      }
      expect(paged).toEqual(all);
    }
  });

  test('holds only what the role may see, and no chat of a device it does not', async () => {
    const narrow = { token: await api.tokenOf(one, ['contacts']) };
    expect(new Set(typesOf((await read('', narrow)).body.data))).toEqual(new Set(['interaction']));
    const noContacts = { token: await api.tokenOf(one, ['leads', 'chats']) };
    expect((await read('', noContacts)).status).toBe(403);
    const device = { token: await api.tokenOf(one, ['contacts', 'chats']) };
    await api.owner.query(sql`
      update public.roles set device_ids = array[${one.deviceIds[1]}::bigint]
      where account_id = ${one.accountId} and permissions = '{contacts,chats}'`);
    const { body } = await read('', device);
    expect(typesOf(body.data).filter((type) => type === 'chat')).toHaveLength(1);
    expect(body.data.find(({ type }: Item) => type === 'chat').data.device_id).toBe(
      one.deviceIds[1],
    );
  });

  test('is empty where there is nothing, and not there for a contact of elsewhere', async () => {
    const made = await api.ask(one, 'POST', '/api/contacts', { body: { name: 'New' } });
    expect((await read('', one, made.body.data.id)).body).toEqual({ data: [], limit: 50 });
    expect((await read('', two)).status).toBe(404);
  });

  test('refuses what is no cursor of its own', async () => {
    const forge = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    for (const cursor of [
      'x',
      forge(),
      forge('2026-01-01', 'lead'),
      forge('2026-02-30', 'lead', 1),
      forge('2026-01-01', 'message', 1),
      forge('2026-01-01', 'lead', -1),
    ]) {
      expect({ cursor, status: (await read(`?cursor=${cursor}`)).status }).toEqual({
        cursor,
        status: 400,
      });
    }
    expect((await read('?limit=201')).status).toBe(400);
  });
});
