import { beforeAll, describe, expect, test } from 'vitest';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { givePassword, PASSWORD, startTestApi, type Caller, type TestApi } from './support.ts';

type Who = { readonly token: string };
type Member = { readonly accountId: number; readonly userId: number };

let api: TestApi;
let one: Caller;
let two: Caller;
let root: Who;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  const boss = await join(one);
  await run(sql`update public.users set is_super_admin = true where id = ${boss.userId}`);
  root = { token: await api.tokenOf(boss) };
});

const run = (statement: Sql, on: Queries = api.owner) => on.query(statement);
const meOf = async (who: Who): Promise<number> =>
  (await api.ask(who, 'GET', '/api/auth/me')).status;

let users = 0;

/** A user who is an administrator of the account. */
async function join({ accountId }: Caller): Promise<Member> {
  const name = `left-${++users}`;
  const [person] = await run(sql`
    insert into public.users (username, display_name, password_hash) values (${name}, ${name}, '-') returning id`);
  const member = { accountId, userId: Number(person?.['id']) };
  await add(member);
  return member;
}

const add = ({ accountId, userId }: Member) =>
  run(sql`
    insert into public.memberships (account_id, user_id, role_id)
    select ${accountId}, ${userId}, id from public.roles
    where account_id = ${accountId} and name = 'Administrator'`);
const removal = ({ accountId, userId }: Member): Sql =>
  sql`delete from public.memberships where account_id = ${accountId} and user_id = ${userId}`;
const remove = (member: Member) => run(removal(member));

const sessionsOf = async ({ accountId, userId }: Member): Promise<boolean[]> => {
  const rows = await run(sql`
    select revoked_at is null as is_open from public.sessions
    where account_id = ${accountId} and user_id = ${userId} order by id`);
  return rows.map((row) => row['is_open'] === 't');
};

const waiting = (count: number) =>
  eventually(async () => {
    const [row] = await run(sql`
      select count(*) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`);
    return Number(row?.['count']) === count;
  });

describe('who is taken out of an account and let in again', () => {
  test('[A14] finds every session, refresh token and key of before dead, and logs in anew', async () => {
    const member = await join(one);
    const username = await givePassword(api.owner, member.userId);
    const login = async () =>
      api.ask(undefined, 'POST', '/api/auth/login', { body: { username, password: PASSWORD } });
    const before = (await login()).body;
    const made = await api.ask(before, 'POST', '/api/api_keys', {
      body: { name: 'Robot', permissions: ['leads'] },
    });
    const robot = { token: made.body.data.key };
    expect([await meOf(before), await meOf(robot)]).toEqual([200, 200]);
    const { body } = await api.ask(one, 'GET', `/api/users/${member.userId}`);
    const { membership_id: membership, role_id: roleId } = body.data;
    expect((await api.ask(one, 'DELETE', `/api/memberships/${membership}`)).status).toBe(200);
    expect([await meOf(before), await meOf(robot)]).toEqual([401, 401]);
    const added = await api.ask(root, 'POST', '/api/memberships', {
      body: { user_id: member.userId, role_id: roleId },
    });
    expect(added.status).toBe(201);
    expect([await meOf(before), await meOf(robot)]).toEqual([401, 401]);
    const written = await api.ask(before, 'POST', '/api/tags', { body: { name: 'Late' } });
    expect(written.status).toBe(401);
    const refreshed = await api.ask(undefined, 'POST', '/api/auth/refresh', {
      body: { refresh_token: before.refresh_token },
    });
    expect(refreshed.status).toBe(401);
    const again = await login();
    expect([again.status, await meOf(again.body)]).toEqual([200, 200]);
  });

  test('[A14] keeps their sessions elsewhere, and nobody else loses any', async () => {
    const here = await join(one);
    const there = { ...here, accountId: two.accountId };
    await add(there);
    const elsewhere = { token: await api.tokenOf(there) };
    const left = { token: await api.tokenOf(here) };
    await remove(here);
    await add(here);
    expect([await meOf(left), await meOf(elsewhere), await meOf(one)]).toEqual([401, 200, 200]);
  });

  test('[A14] by plain SQL, by a session that replicates, and by a membership that becomes another’s', async () => {
    const [deleted, replicated, moved, heir] = [
      await join(one),
      await join(one),
      await join(one),
      await join(two),
    ];
    for (const member of [deleted, replicated, moved]) await api.tokenOf(member);
    await run(sql`
      insert into public.api_keys (account_id, user_id, name, prefix, key_hash, permissions)
      values (${one.accountId}, ${replicated.userId}, 'Robot', 'clarin_replicated', sha256('x'), '{leads}')`);
    await remove(deleted);
    await api.owner.transaction(async (tx) => {
      await run(sql`set local session_replication_role = 'replica'`, tx);
      await run(removal(replicated), tx);
    });
    await run(sql`
      update public.memberships set user_id = ${heir.userId}
      where account_id = ${one.accountId} and user_id = ${moved.userId}`);
    expect(await sessionsOf(deleted)).toEqual([false]);
    // That of the key as well, which no foreign key has taken along.
    expect(await sessionsOf(replicated)).toEqual([false, false]);
    expect(await sessionsOf(moved)).toEqual([false]);
  });

  test('[A14] does not concern super administrators, who need no membership', async () => {
    const boss = await join(one);
    await run(sql`update public.users set is_super_admin = true where id = ${boss.userId}`);
    const caller = { token: await api.tokenOf(boss) };
    await remove(boss);
    const later = { token: await api.tokenOf(boss) };
    expect([await meOf(caller), await meOf(later)]).toEqual([200, 200]);
    // Who is none any more has no session left either.
    await run(sql`update public.users set is_super_admin = false where id = ${boss.userId}`);
    await add(boss);
    expect([await meOf(caller), await meOf(later)]).toEqual([401, 401]);
  });
});

describe('at once', () => {
  test('[A14] a session that is being opened while its member leaves is over', async () => {
    const [first, second] = [await join(one), await join(one)];
    const open = ({ accountId, userId }: Member) => sql`
      insert into public.sessions (account_id, user_id, expires_at)
      values (${accountId}, ${userId}, now() + interval '1 day')`;
    const opened = await api.owner.transaction(async (tx) => {
      await run(open(first), tx);
      const leaving = remove(first);
      leaving.catch(() => undefined);
      await waiting(1);
      return { leaving: () => leaving };
    });
    await opened.value.leaving();
    const left = await api.owner.transaction(async (tx) => {
      await run(removal(second), tx);
      const opening = run(open(second));
      opening.catch(() => undefined);
      await waiting(1);
      return { opening: () => opening };
    });
    await left.value.opening();
    for (const member of [first, second]) {
      await add(member);
      expect(await sessionsOf(member)).toEqual([false]);
    }
  });

  test('leaving and being shut out do not wait for each other', async () => {
    const member = await join(one);
    await api.tokenOf(member);
    await run(sql`
      insert into public.api_keys (account_id, user_id, name, prefix, key_hash, permissions)
      values (${one.accountId}, ${member.userId}, 'Robot', 'clarin_waiting', sha256('y'), '{leads}')`);
    const { value } = await api.owner.transaction(async (tx) => {
      await run(
        sql`
          select id from public.sessions
          where account_id = ${member.accountId} and user_id = ${member.userId} and api_key_id is null
          for no key update`,
        tx,
      );
      const shutOut = run(
        sql`update public.users set is_active = false where id = ${member.userId}`,
      );
      shutOut.catch(() => undefined);
      await waiting(1);
      const leaving = remove(member);
      leaving.catch(() => undefined);
      await waiting(2);
      return { both: () => Promise.allSettled([shutOut, leaving]) };
    });
    expect((await value.both()).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    expect(await sessionsOf(member)).toEqual([false]);
  });
});

test('a user or an account that is deleted takes the sessions along', async () => {
  const going = await api.account('going');
  const member = await join(going);
  const other = { ...member, accountId: two.accountId };
  await add(other);
  await api.tokenOf(member);
  await api.tokenOf(other);
  await run(sql`delete from public.accounts where id = ${going.accountId}`);
  expect(await sessionsOf(member)).toEqual([]);
  expect(await sessionsOf(other)).toEqual([true]);
  await run(sql`delete from public.users where id = ${member.userId}`);
  expect(await sessionsOf(other)).toEqual([]);
});
