import { beforeAll, describe, expect, test } from 'vitest';
import { digestOfApiKey } from '../../platform/api-key.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openLiveCache } from './live-cache.ts';
import { givePassword, PASSWORD, startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let admin: Caller;
let stranger: Caller;

type Key = { id: number; key: string; prefix: string; token: string };

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('keys');
  stranger = await api.account('strangers');
});

/** A key of the caller's; `token` makes a caller of it. */
async function createKey(
  caller: { token: string },
  permissions: readonly string[],
  more: Record<string, unknown> = {},
): Promise<Key> {
  const body = { name: 'Robot', permissions, ...more };
  const answer = await api.ask(caller, 'POST', '/api/api_keys', { body });
  expect(answer.status, answer.text).toBe(201);
  return { ...answer.body.data, token: answer.body.data.key };
}

const statusOf = async (caller: { token: string }, method: string, path: string, body?: unknown) =>
  (await api.ask(caller, method, path, { body })).status;
const meOf = (caller: { token: string }) => statusOf(caller, 'GET', '/api/auth/me');

describe('a new key', () => {
  test('[A1] is shown once; only its prefix and its digest are kept', async () => {
    const body = { name: 'Robot', permissions: ['leads'] };
    const answer = await api.ask(admin, 'POST', '/api/api_keys', { body });
    expect(answer.status).toBe(201);
    const { id, key, prefix } = answer.body.data;
    expect(key).toMatch(/^clarin_[0-9a-f]{10}_[A-Za-z0-9_-]{43}$/);
    expect(key.startsWith(`${prefix}_`)).toBe(true);
    expect(answer.headers).toMatchObject({
      location: `/api/api_keys/${id}`,
      'cache-control': 'no-store',
    });
    const again = await api.ask(admin, 'GET', `/api/api_keys/${id}`);
    expect(again.body.data).toMatchObject({ id, prefix, name: 'Robot', user_id: admin.userId });
    expect(again.text).not.toContain(key.slice(prefix.length));
    const [stored] = await api.owner.query(sql`
      select encode(key_hash, 'hex') as digest, to_jsonb(key)::text as row
      from public.api_keys as key where id = ${id}`);
    expect(stored?.['digest']).toBe(digestOfApiKey(key));
    expect(stored?.['row']).not.toContain(key.slice(prefix.length + 1));
  });

  test('[A1] is not kept with its Idempotency-Key: a repetition answers the row alone', async () => {
    const ask = {
      body: { name: 'Once', permissions: [] },
      headers: { 'idempotency-key': 'one-key' },
    };
    const first = await api.ask(admin, 'POST', '/api/api_keys', ask);
    const second = await api.ask(admin, 'POST', '/api/api_keys', ask);
    expect(second.status).toBe(201);
    const { key, ...row } = first.body.data;
    expect(key).toBeTypeOf('string');
    expect(second.body.data).toEqual(row);
  });

  test('[A2] has no permission its maker lacks, and the refusal names which', async () => {
    const token = await api.tokenOf(admin, ['settings', 'leads']);
    const body = { name: 'Robot', permissions: ['leads', 'chats', 'ops'] };
    const answer = await api.ask({ token }, 'POST', '/api/api_keys', { body });
    expect(answer.status).toBe(403);
    expect(answer.body.details.permissions).toEqual(['chats', 'ops']);
    expect(answer.body.error).toContain('chats, ops');
    const all = { name: 'Robot', permissions: ['*'] };
    expect(await statusOf({ token }, 'POST', '/api/api_keys', all)).toBe(403);
    expect((await createKey({ token }, ['leads'])).id).toBeGreaterThan(0);
  });

  test('needs the permission settings, and an end that is still to come', async () => {
    const token = await api.tokenOf(admin, ['leads', 'users']);
    const body = { name: 'Robot', permissions: ['leads'] };
    expect(await statusOf({ token }, 'POST', '/api/api_keys', body)).toBe(403);
    const over = { ...body, expires_at: '2020-01-01T00:00:00Z' };
    expect(await statusOf(admin, 'POST', '/api/api_keys', over)).toBe(422);
    const misspelt = { ...body, permissions: ['nonsense'] };
    expect(await statusOf(admin, 'POST', '/api/api_keys', misspelt)).toBe(400);
  });
});

describe('a program with a key', () => {
  test('[A2] reads and writes what both the key and its user may, and nothing else', async () => {
    const robot = await createKey(admin, ['leads', 'tags']);
    expect(await statusOf(robot, 'GET', '/api/leads')).toBe(200);
    expect(await statusOf(robot, 'POST', '/api/tags', { name: 'By a robot' })).toBe(201);
    expect(await statusOf(robot, 'GET', '/api/contacts')).toBe(403);
    expect(await statusOf(robot, 'GET', `/api/leads/${stranger.leadIds[0]}`)).toBe(404);
    const { body } = await api.ask(robot, 'GET', '/api/auth/me');
    expect(body.data).toMatchObject({ permissions: ['leads', 'tags'], is_super_admin: false });
  });

  test('[A2] loses with its user: a narrower role narrows the key', async () => {
    const token = await api.tokenOf(admin, ['settings', 'leads', 'tags']);
    const robot = await createKey({ token }, ['leads', 'tags']);
    await api.owner.query(sql`
      update public.roles set permissions = '{settings,tags}'
      where id = (select member.role_id from public.memberships as member
        join public.api_keys as key on key.account_id = member.account_id and key.user_id = member.user_id
        where key.id = ${robot.id})`);
    expect(await statusOf(robot, 'GET', '/api/leads')).toBe(403);
    expect(await statusOf(robot, 'GET', '/api/tags')).toBe(200);
  });

  test('[A2] of a super administrator is none', async () => {
    const boss = await api.account('bosses');
    await api.owner.query(
      sql`update public.users set is_super_admin = true where id = ${boss.userId}`,
    );
    const token = await api.tokenOf(boss);
    const robot = await createKey({ token }, ['*']);
    expect(await statusOf({ token }, 'GET', '/api/accounts')).toBe(200);
    expect(await statusOf(robot, 'GET', '/api/accounts')).toBe(403);
    expect(await statusOf(robot, 'GET', '/api/leads')).toBe(200);
  });

  test('[A3] manages neither keys nor users nor roles, and opens no session', async () => {
    const robot = await createKey(admin, ['*']);
    const user = { username: 'made-by-robot', display_name: 'R', password: PASSWORD, role_id: 1 };
    const refused: [string, string, unknown?][] = [
      ['POST', '/api/api_keys', { name: 'Child', permissions: [] }],
      ['PATCH', `/api/api_keys/${robot.id}`, { name: 'Renamed' }],
      ['POST', `/api/api_keys/${robot.id}/revoke`],
      ['DELETE', `/api/api_keys/${robot.id}`],
      ['POST', '/api/users', user],
      ['PATCH', `/api/users/${admin.userId}`, { display_name: 'x' }],
      ['POST', '/api/roles', { name: 'Made by a robot', permissions: [] }],
      ['DELETE', '/api/roles/1'],
      ['PATCH', '/api/memberships/1', { role_id: 1 }],
      ['POST', '/api/auth/switch-account', { account_id: admin.accountId }],
      ['POST', '/api/auth/password', { password: PASSWORD, new_password: `${PASSWORD}!` }],
      ['POST', '/api/auth/logout'],
      ['DELETE', '/api/sessions/1'],
    ];
    for (const [method, path, body] of refused)
      expect([path, await statusOf(robot, method, path, body)]).toEqual([path, 403]);
    const refresh = { refresh_token: robot.key };
    expect(await statusOf(robot, 'POST', '/api/auth/refresh', refresh)).toBe(401);
    expect(await meOf(robot)).toBe(200);
  });

  test('has its use noted, once an hour at most', async () => {
    const robot = await createKey(admin, ['tags']);
    const { body } = await api.ask(admin, 'GET', `/api/api_keys/${robot.id}`);
    expect(body.data.last_used_at).toBeUndefined();
    await api.ask(robot, 'POST', '/api/tags', { body: { name: 'Traced' } });
    const used = await api.ask(admin, 'GET', `/api/api_keys/${robot.id}`);
    expect(used.body.data.last_used_at).toBeTypeOf('string');
    const lookUp = sql`select user_id from clarin.use_api_key(sha256(${robot.key}::text::bytea))`;
    expect(await api.owner.query(lookUp)).toEqual([{ user_id: String(admin.userId) }]);
    const later = await api.ask(admin, 'GET', `/api/api_keys/${robot.id}`);
    expect(later.body.data.last_used_at).toBe(used.body.data.last_used_at);
    await api.owner.query(sql`
      update public.api_keys set last_used_at = now() - interval '61 minutes' where id = ${robot.id}`);
    await api.owner.query(lookUp);
    const next = await api.ask(admin, 'GET', `/api/api_keys/${robot.id}`);
    expect(next.body.data.last_used_at > used.body.data.last_used_at).toBe(true);
  });

  test('with a key that nobody has, or that is none, is nobody', async () => {
    const { key } = await createKey(admin, ['leads']);
    const other = `${key.slice(0, -1)}${key.endsWith('A') ? 'Q' : 'A'}`;
    for (const token of [other, key.slice(0, -1), 'clarin_', `${key}x`])
      expect(await meOf({ token })).toBe(401);
    const cookie = { cookie: `clarin_token=${other}` };
    expect((await api.ask(undefined, 'GET', '/api/auth/me', { headers: cookie })).status).toBe(401);
  });
});

describe('the end of a key', () => {
  const ends: [string, (robot: Key) => Promise<unknown>][] = [
    ['being revoked', (robot) => api.ask(admin, 'POST', `/api/api_keys/${robot.id}/revoke`)],
    ['being deleted', (robot) => api.ask(admin, 'DELETE', `/api/api_keys/${robot.id}`)],
    [
      'its time being moved to the past',
      (robot) =>
        api.ask(admin, 'PATCH', `/api/api_keys/${robot.id}`, {
          body: { expires_at: '2020-01-01T00:00:00Z' },
        }),
    ],
    [
      'SQL that revokes it',
      (robot) =>
        api.owner.query(sql`update public.api_keys set revoked_at = now() where id = ${robot.id}`),
    ],
  ];
  test.each(ends)('[A4] by %s refuses its requests at once', async (_how, end) => {
    const robot = await createKey(admin, ['tags']);
    expect(await statusOf(robot, 'POST', '/api/tags', { name: `Before ${robot.id}` })).toBe(201);
    await end(robot);
    expect(await statusOf(robot, 'POST', '/api/tags', { name: `After ${robot.id}` })).toBe(401);
    expect(await statusOf(robot, 'GET', '/api/tags')).toBe(401);
  });

  test.each([
    ['deleted', sql`delete from public.users`],
    ['shut out', sql`update public.users set is_active = false`],
    ['taken out of the account', sql`delete from public.memberships`],
  ])('[A4] comes when its user is %s', async (how, statement) => {
    const token = await api.tokenOf(admin, ['settings', 'tags']);
    const robot = await createKey({ token }, ['tags']);
    expect(await meOf(robot)).toBe(200);
    const [row] = await api.owner.query(
      sql`select user_id from public.api_keys where id = ${robot.id}`,
    );
    const userId = Number(row?.['user_id']);
    const whose = how === 'taken out of the account' ? sql`user_id` : sql`id`;
    await api.owner.query(sql`${statement} where ${whose} = ${userId}`);
    expect(await meOf(robot)).toBe(401);
    if (how !== 'shut out') return;
    // Who comes back finds the key dead, and saying so.
    await api.owner.query(sql`update public.users set is_active = true where id = ${userId}`);
    expect(await meOf(robot)).toBe(401);
    const { body } = await api.ask(admin, 'GET', `/api/api_keys/${robot.id}`);
    expect(body.data.revoked_at).toBeTypeOf('string');
  });

  test('[A4] does not come with a new password of its user', async () => {
    const fixture = await api.account('password');
    const robot = await createKey(fixture, ['tags']);
    await givePassword(api.owner, fixture.userId);
    expect(await meOf(fixture)).toBe(401);
    expect(await meOf(robot)).toBe(200);
  });

  test('[A4] by time alone is seen by reads that come from the cache', async () => {
    const { redisUrl, redisPrefix } = api.config;
    await openLiveCache(api.owner, redisUrl, redisPrefix);
    const [soon] = await api.owner.query(sql`
      select to_char(now() at time zone 'UTC' + interval '2 seconds', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`);
    const robot = await createKey(admin, ['tags'], { expires_at: soon?.['at'] });
    const read = () => api.ask(robot, 'GET', '/api/tags');
    expect((await read()).status).toBe(200);
    expect((await read()).headers['clarin-cache']).toBe('hit');
    await eventually(async () => (await read()).status === 401, { says: 'the key is over' });
  });
});

describe('a key', () => {
  test('[A2] is renamed and narrowed, and never widened', async () => {
    const robot = await createKey(admin, ['leads', 'tags']);
    const patch = (body: unknown, caller: { token: string } = admin) =>
      api.ask(caller, 'PATCH', `/api/api_keys/${robot.id}`, { body });
    expect((await patch({ name: 'Other', permissions: ['tags'] })).body.data).toMatchObject({
      name: 'Other',
      permissions: ['tags'],
    });
    expect(await statusOf(robot, 'GET', '/api/leads')).toBe(403);
    for (const permissions of [['tags', 'leads'], ['*']])
      expect((await patch({ permissions })).status).toBe(422);
    const lesser = { token: await api.tokenOf(admin, ['settings']) };
    expect((await patch({ expires_at: null }, lesser)).status).toBe(403);
    expect((await patch({ name: 'x' }, stranger)).status).toBe(404);
    for (const method of ['GET', 'DELETE'])
      expect(await statusOf(stranger, method, `/api/api_keys/${robot.id}`)).toBe(404);
    expect(await meOf(robot)).toBe(200);
  });

  test('[A4] that was revoked is so for good; once more changes nothing', async () => {
    const robot = await createKey(admin, ['tags']);
    const revoke = (caller: { token: string }) =>
      api.ask(caller, 'POST', `/api/api_keys/${robot.id}/revoke`);
    expect((await revoke(stranger)).status).toBe(404);
    const first = await revoke(admin);
    expect(first.body.data.revoked_at).toBeTypeOf('string');
    expect((await revoke(admin)).body).toEqual(first.body);
    const body = { expires_at: null };
    const answer = await api.ask(admin, 'PATCH', `/api/api_keys/${robot.id}`, { body });
    expect(answer.status).toBe(409);
    const list = await api.ask(admin, 'GET', '/api/api_keys?revoked=true');
    expect(list.body.data.map(({ id }: Key) => id)).toContain(robot.id);
  });
});

test('[A5] sessions of keys say whose they are, and end with the key only', async () => {
  const robot = await createKey(admin, ['tags']);
  const { body } = await api.ask(admin, 'GET', '/api/sessions?limit=200');
  const session = body.data.find((row: { api_key_id?: number }) => row.api_key_id === robot.id);
  expect(session).toMatchObject({ user_id: admin.userId, permissions: ['tags'] });
  const answer = await api.ask(admin, 'DELETE', `/api/sessions/${session.id}`);
  expect(answer.status).toBe(422);
  expect(answer.body).toMatchObject({ details: { api_key_id: robot.id } });
  expect(await meOf(robot)).toBe(200);
});
