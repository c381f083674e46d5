import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { restrictedTo } from './restricted-role.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

type Who = { readonly token: string };
type Named = { readonly id: number };

const OF_AGENTS = ['chats', 'contacts', 'leads', 'tags'];

let api: TestApi;
let one: Caller;
let two: Caller;
let agent: Who;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  agent = { token: await api.tokenOf(one, OF_AGENTS) };
});

const get = (who: Who, path: string) => api.ask(who, 'GET', path);
const idsOf = (rows: readonly Named[]): number[] => rows.map(({ id }) => id);

/** A member of the account; gives the user's id. */
async function join(account: Caller, username: string, displayName = username): Promise<number> {
  const [row] = await api.owner.query(sql`
    with person as (
      insert into public.users (username, display_name, password_hash, email)
      values (${username}, ${displayName}, 'no password', ${`${username}@example.com`})
      returning id
    )
    insert into public.memberships (account_id, user_id, role_id)
    select ${account.accountId}, person.id, role.id
    from person
    join public.roles as role on role.account_id = ${account.accountId} and role.name = 'Agent'
    returning user_id`);
  return Number(row?.['user_id']);
}

describe('people', () => {
  test('[A12] are named to every member, by name, and nothing else of them is shown', async () => {
    const account = await api.account('named');
    const zoe = await join(account, 'zoe', 'Zoé');
    const ana = await join(account, 'ana', 'ana');
    const nameless = await join(account, 'Bruno', '  ');
    await api.owner.query(sql`update public.users set is_active = false where id = ${zoe}`);
    const caller = { token: await api.tokenOf({ accountId: account.accountId, userId: ana }) };
    expect((await get(caller, '/api/users')).status).toBe(403);
    api.statements.length = 0;
    const { status, body } = await get(caller, '/api/people');
    expect(status).toBe(200);
    expect(body).toEqual({
      data: [
        { id: ana, display_name: 'ana', is_active: true },
        { id: nameless, display_name: 'Bruno', is_active: true },
        { id: account.userId, display_name: 'User of named', is_active: true },
        { id: zoe, display_name: 'Zoé', is_active: false },
      ],
      total: 4,
      page: 1,
      limit: 50,
    });
    // Beside the one that says who is asking.
    expect(api.statements.filter((text) => !text.includes('public.sessions'))).toHaveLength(1);
  });

  test('[A12] name whom the lead of a card is assigned to', async () => {
    const lead = (await get(agent, '/api/leads?limit=200')).body.data.find(
      ({ assigned_to: owner }: { assigned_to?: number }) => owner !== undefined,
    );
    const { data } = (await get(agent, '/api/people')).body;
    expect(data).toContainEqual({
      id: lead.assigned_to,
      display_name: 'User of one',
      is_active: true,
    });
  });

  test('[A12] of another account never appear, nor who has left', async () => {
    const everywhere = await join(two, 'everywhere');
    const leaving = await join(one, 'leaving');
    await api.owner.query(sql`
      insert into public.memberships (account_id, user_id, role_id)
      select account_id, ${everywhere}, id from public.roles
      where account_id = ${one.accountId} and name = 'Agent'`);
    const before = idsOf((await get(agent, '/api/people?limit=200')).body.data);
    expect(before).toEqual(expect.arrayContaining([one.userId, everywhere, leaving]));
    expect(before).not.toContain(two.userId);
    await api.owner.query(sql`delete from public.memberships where user_id = ${leaving}`);
    const after = idsOf((await get(agent, '/api/people?limit=200')).body.data);
    expect(after).toEqual(before.filter((id) => id !== leaving));
    const theirs = idsOf((await get(two, '/api/people?limit=200')).body.data);
    expect(new Set(theirs)).toEqual(new Set([two.userId, everywhere]));
  });

  test('are read by pages that miss nobody and are bounded', async () => {
    const whole = (await get(one, '/api/people?limit=200')).body;
    const pages: number[] = [];
    for (let page = 1; page <= whole.total; page++) {
      const { body } = await get(one, `/api/people?limit=1&page=${page}`);
      expect(body).toMatchObject({ total: whole.total, page, limit: 1 });
      pages.push(...idsOf(body.data));
    }
    expect(pages).toEqual(idsOf(whole.data));
    const beyond = await get(one, '/api/people?page=99');
    expect(beyond.body).toMatchObject({ data: [], total: whole.total });
    expect((await get(one, '/api/people?limit=201')).status).toBe(400);
    expect((await api.ask(undefined, 'GET', '/api/people')).status).toBe(401);
  });
});

describe('devices to chat through', () => {
  const devices = (who: Who) => get(who, '/api/chats/devices');

  test('[A12] are named to who may chat, and nothing else of them is shown', async () => {
    const [id = 0] = one.deviceIds;
    await api.owner.query(sql`
      update public.devices
      set name = 'aFirst', phone = '51911111111', jid = '51911111111@s.whatsapp.net', status = 'connected',
        pushname = 'Pushed'
      where id = ${id}`);
    const { status, body } = await devices(agent);
    expect(status).toBe(200);
    expect(body).toMatchObject({ total: one.deviceIds.length, page: 1, limit: 50 });
    expect(body.data[0]).toEqual({
      id,
      name: 'aFirst',
      phone: '51911111111',
      status: 'connected',
    });
    expect(new Set(idsOf(body.data))).toEqual(new Set(one.deviceIds));
    expect((await get(agent, '/api/devices')).status).toBe(403);
    expect((await devices({ token: await api.tokenOf(one, ['leads']) })).status).toBe(403);
    const opened = await api.ask(agent, 'POST', '/api/chats', {
      body: { device_id: id, phone: '51987654321' },
    });
    expect(opened.status).toBe(201);
  });

  test('[A6] are those of the role, and [A12] never those of another account', async () => {
    const [, second = 0] = one.deviceIds;
    const some = await restrictedTo(api, one, [second]);
    expect((await devices(some)).body).toMatchObject({ total: 1, data: [{ id: second }] });
    const none = await restrictedTo(api, one, []);
    expect((await devices(none)).body).toMatchObject({ total: 0, data: [] });
    expect(new Set(idsOf((await devices(two)).body.data))).toEqual(new Set(two.deviceIds));
  });

  test('are bounded', async () => {
    const { body } = await get(agent, '/api/chats/devices?limit=1&page=2');
    expect(body).toMatchObject({ total: one.deviceIds.length, page: 2, limit: 1 });
    expect(body.data).toHaveLength(1);
    expect((await get(agent, '/api/chats/devices?limit=201')).status).toBe(400);
  });
});
