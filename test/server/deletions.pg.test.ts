import { beforeAll, describe, expect, test } from 'vitest';
import { ENTITIES } from '../../domain/registry.ts';
import { ident, sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import { givePassword, startTestApi, statusesOf, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let root: Caller;

async function superAdministrator(slug: string): Promise<Caller> {
  const account = await api.account(slug);
  await api.owner.query(
    sql`update public.users set is_super_admin = true where id = ${account.userId}`,
  );
  // What a user may do has changed, so their sessions have ended.
  return { ...account, token: await api.tokenOf(account) };
}

const remove = (caller: { token: string }, path: string, headers: Record<string, string> = {}) =>
  api.ask(caller, 'DELETE', path, { headers });

beforeAll(async () => {
  api = await startTestApi();
  root = await superAdministrator('root');
});

describe('an account', () => {
  test('is deleted with everything in it, and nothing of another one', async () => {
    const goes = await api.account('goes');
    const stays = await api.account('stays');
    const seen = await api.ask(root, 'GET', `/api/accounts/${goes.accountId}`);
    const deleted = await remove(root, `/api/accounts/${goes.accountId}`);
    expect(deleted.status).toBe(200);
    expect(deleted.text).toBe(seen.text);
    expect(deleted.headers['clarin-commit']).toBeDefined();
    for (const { table, scope } of ENTITIES.filter((entity) => entity.scope === 'tenant')) {
      const count = async (accountId: number): Promise<number> => {
        const rows = await api.owner.query(
          sql`select id from ${ident(table)} where account_id = ${accountId}`,
        );
        return rows.length;
      };
      expect({ table, scope, left: await count(goes.accountId) }).toMatchObject({ left: 0 });
      expect(await count(stays.accountId)).toBeGreaterThan(0);
    }
    expect((await api.ask(goes, 'GET', '/api/leads')).status).toBe(401);
    expect((await api.ask(root, 'GET', `/api/accounts/${goes.accountId}`)).status).toBe(404);
    expect((await remove(root, `/api/accounts/${goes.accountId}`)).status).toBe(404);
  });

  test('is not deleted by who is in it, by others than super administrators, or as an older version', async () => {
    const other = await api.account('other');
    const path = `/api/accounts/${other.accountId}`;
    expect((await remove(root, `/api/accounts/${root.accountId}`)).status).toBe(422);
    expect((await remove(other, path)).status).toBe(403);
    const { headers } = await api.ask(root, 'GET', path);
    await api.ask(root, 'PATCH', path, { body: { plan: 'gold' } });
    expect((await remove(root, path, { 'if-match': headers['etag'] ?? '' })).status).toBe(412);
    expect((await api.ask(root, 'GET', path)).status).toBe(200);
  });
});

describe('a user', () => {
  const addAdministrator = (account: Caller, username: string) =>
    api.owner.query(sql`
      with person as (
        insert into public.users (username, display_name, password_hash) values (${username}, 'x', 'none') returning id
      )
      insert into public.memberships (account_id, user_id, role_id)
      select ${account.accountId}, person.id, role.id
      from person, public.roles as role
      where role.account_id = ${account.accountId} and role.name = 'Administrator'
      returning user_id`);

  test("is deleted out of all accounts; what was theirs is nobody's", async () => {
    const home = await api.account('home');
    await addAdministrator(home, 'successor');
    const seen = await api.ask(home, 'GET', `/api/users/${home.userId}`);
    const name = await givePassword(api.owner, home.userId);
    const deleted = await remove(root, `/api/users/${home.userId}`);
    expect(deleted.status).toBe(200);
    expect(deleted.body.data).toMatchObject({ id: home.userId, username: name });
    expect(deleted.text).not.toContain('argon2');
    expect(seen.body.data).toMatchObject({ username: name });
    const left = await api.owner.query(sql`
      select
        (select count(*) from public.memberships where user_id = ${home.userId}) as memberships,
        (select count(*) from public.sessions where user_id = ${home.userId}) as sessions,
        (select count(*) from public.leads where account_id = ${home.accountId} and assigned_to is not null) as assigned,
        (select count(*) from public.leads where account_id = ${home.accountId}) as leads`);
    expect(left[0]).toEqual({ memberships: '0', sessions: '0', assigned: '0', leads: '12' });
    expect((await api.ask(home, 'GET', '/api/auth/me')).status).toBe(401);
    expect((await remove(root, `/api/users/${home.userId}`)).status).toBe(404);
  });

  test('is not deleted by themselves, by others than super administrators, or as an older version', async () => {
    const house = await api.account('house');
    const [row] = await addAdministrator(house, 'guest');
    const path = `/api/users/${Number(row?.['user_id'])}`;
    expect((await remove(root, `/api/users/${root.userId}`)).status).toBe(422);
    expect((await remove(house, path)).status).toBe(403);
    const { headers } = await api.ask(house, 'GET', path);
    await api.ask(house, 'PATCH', path, { body: { display_name: 'Renamed' } });
    expect((await remove(root, path, { 'if-match': headers['etag'] ?? '' })).status).toBe(412);
    expect((await api.ask(house, 'GET', path)).status).toBe(200);
  });

  test('who is the last administrator of an account stays', async () => {
    const sole = await api.account('sole');
    const refused = await remove(root, `/api/users/${sole.userId}`);
    expect(refused.status).toBe(422);
    expect(refused.body.details).toEqual({ account_id: sole.accountId });
    expect((await api.ask(sole, 'GET', '/api/auth/me')).status).toBe(200);
  });

  test('two super administrators who delete each other at once do not both succeed', async () => {
    const first = await superAdministrator('first');
    const second = await superAdministrator('second');
    await addAdministrator(first, 'deputy-1');
    await addAdministrator(second, 'deputy-2');
    const { value } = await api.owner.transaction(async (tx) => {
      await tx.query(sql`
        select id from public.users where id in (${first.userId}, ${second.userId}) for key share`);
      const asked = [
        remove(first, `/api/users/${second.userId}`),
        remove(second, `/api/users/${first.userId}`),
      ];
      await eventually(
        async () => {
          const rows = await api.owner.query(sql`
            select pid from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`);
          return rows.length === 2;
        },
        { says: 'both wait' },
      );
      return { asked };
    });
    expect(statusesOf(await Promise.all(value.asked))).toEqual([200, 401]);
  });
});
