import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import { startTestApi, statusesOf, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

describe('roles and members', () => {
  const roleId = async (name: string, account = one): Promise<number> => {
    const rows = await api.owner.query(
      sql`select id from public.roles where account_id = ${account.accountId} and name = ${name}`,
    );
    return Number(rows[0]?.['id']);
  };
  const membershipId = async (account: Caller): Promise<number> => {
    const rows = await api.owner.query(sql`
      select id from public.memberships where account_id = ${account.accountId} and user_id = ${account.userId}`);
    return Number(rows[0]?.['id']);
  };

  test('the last administrator stays one, whichever way they would go', async () => {
    const alone = await api.account('alone');
    const administrator = await roleId('Administrator', alone);
    const agent = await roleId('Agent', alone);
    const membership = await membershipId(alone);
    const answers = await Promise.all([
      api.ask(alone, 'DELETE', `/api/memberships/${membership}`),
      api.ask(alone, 'PATCH', `/api/memberships/${membership}`, { body: { role_id: agent } }),
      api.ask(alone, 'PATCH', `/api/roles/${administrator}`, { body: { permissions: ['users'] } }),
      api.ask(alone, 'PATCH', `/api/users/${alone.userId}`, { body: { is_active: false } }),
      api.ask(alone, 'PATCH', `/api/users/${alone.userId}`, { body: { role_id: agent } }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([422, 422, 422, 422, 422]);
    expect((await api.ask(alone, 'DELETE', `/api/roles/${administrator}`)).status).toBe(409);
  });

  test('two administrators who remove each other at once do not both succeed', async () => {
    const pair = await api.account('pair');
    const created = await api.ask(pair, 'POST', '/api/users', {
      body: {
        username: 'second',
        display_name: 'Second',
        password: 'long enough',
        role_id: await roleId('Administrator', pair),
      },
    });
    const second = {
      token: await api.tokenOf({ accountId: pair.accountId, userId: created.body.data.id }),
    };
    const own = await membershipId(pair);
    // Whoever has removed a member and looked who is left is held up just before the commit, where the other one
    // cannot see it yet: without a lock both would get there, each sure of the other.
    await api.owner.query(sql`
      create function public.hold_commit() returns trigger language plpgsql as $$
      begin
        perform pg_advisory_xact_lock_shared(4711);
        return null;
      end $$`);
    await api.owner.query(sql`
      create constraint trigger hold_commit after delete on public.memberships
        deferrable initially deferred for each row execute function public.hold_commit()`);
    const { value: answers } = await api.owner.transaction(async (tx) => {
      await tx.query(sql`select pg_advisory_xact_lock(4711)`);
      const asked = [
        api.ask(pair, 'DELETE', `/api/memberships/${created.body.data.membership_id}`),
        api.ask(second, 'DELETE', `/api/memberships/${own}`),
      ];
      await eventually(
        async () => {
          const rows = await api.owner.query(sql`
            select pid from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`);
          return rows.length === 2;
        },
        { says: 'one waits to commit, the other for it (or both to commit, without a lock)' },
      );
      return { asked };
    });
    expect(statusesOf(await Promise.all(answers.asked))).toEqual([200, 422]);
    await api.owner.query(sql`drop function public.hold_commit() cascade`);
  });

  test('nobody gives away or rules over more than they have', async () => {
    const lead = { token: await api.tokenOf(one, ['users', 'leads']) };
    const administrator = await roleId('Administrator');
    const grants = [
      api.ask(lead, 'POST', '/api/roles', { body: { name: 'All', permissions: ['*'] } }),
      api.ask(lead, 'POST', '/api/roles', { body: { name: 'Tags', permissions: ['tags'] } }),
      api.ask(lead, 'PATCH', `/api/roles/${administrator}`, { body: { name: 'Mine' } }),
      api.ask(lead, 'PATCH', `/api/users/${one.userId}`, { body: { password: 'taken over it' } }),
      api.ask(lead, 'PATCH', `/api/memberships/${await membershipId(one)}`, {
        body: { is_default: false },
      }),
      api.ask(lead, 'POST', '/api/users', {
        body: {
          username: 'x1',
          display_name: 'x',
          password: 'long enough',
          role_id: administrator,
        },
      }),
    ];
    for (const answer of await Promise.all(grants)) expect(answer.status).toBe(403);
    expect(
      (
        await api.ask(lead, 'POST', '/api/roles', {
          body: { name: 'Leads', permissions: ['leads'] },
        })
      ).status,
    ).toBe(201);
  });

  test('users of elsewhere cannot be seen, changed or pulled in', async () => {
    expect((await api.ask(one, 'GET', `/api/users/${two.userId}`)).status).toBe(404);
    expect(
      (await api.ask(one, 'PATCH', `/api/users/${two.userId}`, { body: { display_name: 'x' } }))
        .status,
    ).toBe(404);
    const pulled = await api.ask(one, 'POST', '/api/memberships', {
      body: { user_id: two.userId, role_id: await roleId('Agent') },
    });
    expect(pulled.status).toBe(403);
    const list = await api.ask(one, 'GET', '/api/users?limit=200');
    expect(list.body.data.map((user: { id: number }) => user.id)).not.toContain(two.userId);
  });

  test('users are created, found, changed and shut out', async () => {
    const created = await api.ask(one, 'POST', '/api/users', {
      body: {
        username: 'Ana',
        display_name: 'Ana María',
        email: 'ana@example.com',
        password: 'long enough',
        role_id: await roleId('Agent'),
      },
    });
    expect(created.status).toBe(201);
    expect(created.text).not.toContain('argon2');
    const { id } = created.body.data;
    const read = await api.ask(one, 'GET', created.headers['location'] ?? '');
    expect(read.text).toBe(created.text);
    const found = await api.ask(one, 'GET', '/api/users?search=ana%25');
    expect(found.body.total).toBe(0);
    expect((await api.ask(one, 'GET', '/api/users?search=MAR%C3%8DA')).body).toMatchObject({
      total: 1,
      data: [{ id }],
    });
    expect((await api.ask(one, 'GET', '/api/users?limit=1&page=99')).body.data).toEqual([]);
    expect((await api.ask(one, 'GET', '/api/users?search=%00')).status).toBe(400);
    const seen = read.headers['etag'] ?? '';
    const rename = (name: string, etag: string) =>
      api.ask(one, 'PATCH', `/api/users/${id}`, {
        body: { display_name: name },
        headers: { 'if-match': etag },
      });
    const renamed = await rename('Ana María R.', seen);
    expect(renamed.status).toBe(200);
    expect((await rename('Ana M.', seen)).status).toBe(412);
    expect((await rename('Ana María', renamed.headers['etag'] ?? '')).status).toBe(200);
    const token = await api.tokenOf({ accountId: one.accountId, userId: id });
    const login = () =>
      api.ask(undefined, 'POST', '/api/auth/login', {
        body: { username: 'ana', password: 'long enough' },
      });
    expect((await login()).status).toBe(200);
    const shut = await api.ask(one, 'PATCH', `/api/users/${id}`, {
      body: { is_active: false, email: null },
    });
    expect(shut.body.data).toMatchObject({ is_active: false });
    expect(shut.body.data.email).toBeUndefined();
    expect((await login()).status).toBe(401);
    expect((await api.ask({ token }, 'GET', '/api/auth/me')).status).toBe(401);
    const twice = await api.ask(one, 'POST', '/api/users', {
      body: {
        username: ' ANA ',
        display_name: 'x',
        password: 'long enough',
        role_id: await roleId('Agent'),
      },
    });
    expect(twice.status).toBe(409);
  });

  test('who is in other accounts too is changed here in their role only', async () => {
    await api.owner.query(sql`
      insert into public.memberships (account_id, user_id, role_id)
      select ${one.accountId}, ${two.userId}, id from public.roles where account_id = ${one.accountId} and name = 'Agent'`);
    expect(
      (
        await api.ask(one, 'PATCH', `/api/users/${two.userId}`, {
          body: { password: 'taken over it' },
        })
      ).status,
    ).toBe(403);
    const role = await api.ask(one, 'PATCH', `/api/users/${two.userId}`, {
      body: { role_id: await roleId('Supervisor') },
    });
    expect(role.status).toBe(200);
    expect(role.body.data.role_id).toBe(await roleId('Supervisor'));
    const here = `/api/memberships/${await membershipId({ ...two, accountId: one.accountId })}`;
    expect((await api.ask(one, 'PATCH', here, { body: { is_default: true } })).status).toBe(403);
    const [elsewhere] = await api.owner.query(
      sql`select is_default from public.memberships where account_id = ${two.accountId} and user_id = ${two.userId}`,
    );
    expect(elsewhere?.['is_default']).toBe('t');
    await api.owner.query(
      sql`delete from public.memberships where account_id = ${one.accountId} and user_id = ${two.userId}`,
    );
  });
});

describe('accounts', () => {
  test('show their settings to those who may see them, and change for those', async () => {
    const agent = { token: await api.tokenOf(one, ['leads']) };
    const changed = await api.ask(one, 'PATCH', '/api/account', {
      body: { settings: { theme: 'dark' } },
    });
    expect(changed.body.data.settings).toEqual({ theme: 'dark' });
    expect((await api.ask(one, 'GET', '/api/account')).text).toBe(changed.text);
    const narrow = await api.ask(agent, 'GET', '/api/account');
    expect(narrow.status).toBe(200);
    expect(narrow.text).not.toContain('theme');
    expect((await api.ask(agent, 'PATCH', '/api/account', { body: { name: 'x' } })).status).toBe(
      403,
    );
    expect((await api.ask(one, 'PATCH', '/api/account', { body: { plan: 'gold' } })).status).toBe(
      400,
    );
    expect(
      (
        await api.ask(one, 'PATCH', '/api/account', {
          body: { default_stage_id: two.stages.active[0] },
        })
      ).status,
    ).toBe(422);
  });

  test('are made and governed by super administrators', async () => {
    for (const [method, path] of [
      ['GET', '/api/accounts'],
      ['POST', '/api/accounts'],
      ['GET', `/api/accounts/${two.accountId}`],
      ['PATCH', `/api/accounts/${two.accountId}`],
    ] as const) {
      expect(
        (await api.ask(one, method, path, { body: method === 'GET' ? undefined : {} })).status,
      ).toBe(403);
    }
    const root = await api.account('root');
    await api.owner.query(
      sql`update public.users set is_super_admin = true where id = ${root.userId}`,
    );
    const caller = { token: await api.tokenOf(root) };
    const created = await api.ask(caller, 'POST', '/api/accounts', {
      body: { name: 'Fresh', slug: 'fresh', settings: { a: 1 } },
    });
    expect(created.status).toBe(201);
    expect(created.body.data.default_stage_id).toBeGreaterThan(0);
    expect((await api.ask(caller, 'GET', created.headers['location'] ?? '')).text).toBe(
      created.text,
    );
    const list = await api.ask(caller, 'GET', '/api/accounts?limit=200');
    expect(list.body.data.map((account: { slug: string }) => account.slug)).toEqual(
      expect.arrayContaining(['one', 'two', 'fresh']),
    );
    const closed = await api.ask(caller, 'PATCH', `/api/accounts/${created.body.data.id}`, {
      body: { is_active: false, plan: 'gold' },
    });
    expect(closed.body.data).toMatchObject({ is_active: false, plan: 'gold' });
    const entered = await api.ask(caller, 'POST', '/api/auth/switch-account', {
      body: { account_id: created.body.data.id },
    });
    expect(entered.status).toBe(404);
    const member = await api.ask(caller, 'POST', '/api/memberships', {
      body: {
        user_id: one.userId,
        role_id: (await api.ask(caller, 'GET', '/api/roles?search=Agent')).body.data[0].id,
      },
    });
    expect(member.status).toBe(201);
  });
});
