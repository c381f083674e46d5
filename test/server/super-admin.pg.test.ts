import { beforeAll, expect, test } from 'vitest';
import { ENTITIES } from '../../domain/registry.ts';
import { ident, sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let home: Caller;
let other: Caller;

beforeAll(async () => {
  api = await startTestApi();
  home = await api.account('home');
  other = await api.account('other');
  await api.owner.query(
    sql`update public.users set is_super_admin = true where id = ${home.userId}`,
  );
});

test('a super administrator who switches into an account sees and does everything there, and it is written down', async () => {
  // Not even a role of no devices that they happen to have there restricts them.
  await api.owner.query(sql`
    with role as (
      insert into public.roles (account_id, name, permissions, device_ids)
      values (${other.accountId}, 'Guest', '{}', '{}') returning id
    )
    insert into public.memberships (account_id, user_id, role_id)
    select ${other.accountId}, ${home.userId}, id from role`);
  const boss = { token: await api.tokenOf(home) };
  const switched = await api.ask(boss, 'POST', '/api/auth/switch-account', {
    body: { account_id: other.accountId },
  });
  expect(switched.status).toBe(200);
  const there = { token: switched.body.token };
  const lists = ENTITIES.filter(
    ({ rest, list, table }) => (rest !== 'none' && list) || table === 'kommo_connections',
  );
  expect(lists.length).toBeGreaterThan(10);
  for (const { table } of lists) {
    const path = table === 'kommo_connections' ? '/api/kommo/connections' : `/api/${table}`;
    const { status, body } = await api.ask(there, 'GET', `${path}?limit=200`);
    expect([table, status]).toEqual([table, 200]);
    expect(body.data.length, table).toBeGreaterThan(0);
    for (const row of body.data as { account_id: number }[])
      expect([table, row.account_id]).toEqual([table, other.accountId]);
    const [own] = await api.owner.query(
      sql`select id from ${ident(table)} where account_id = ${home.accountId} order by id desc limit 1`,
    );
    const foreign = await api.ask(there, 'GET', `${path}/${own?.['id']}`);
    expect([table, foreign.status]).toEqual([table, 404]);
  }
  const devices = await api.ask(there, 'GET', '/api/devices');
  expect(devices.body.total).toBe(other.deviceIds.length);
  const made = await api.ask(there, 'POST', '/api/devices', { body: { name: 'By the boss' } });
  expect(made.body.data.account_id).toBe(other.accountId);
  const log = await api.ask(there, 'GET', `/api/audit_log?actor_id=${home.userId}&entity=devices`);
  expect(log.body.data).toMatchObject([{ entity_id: made.body.data.id, source: 'api' }]);
});
