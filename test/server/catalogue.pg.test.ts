import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

type Stage = { id: number; name: string; type: string; position: number; color: string };

describe('pipelines', () => {
  async function createPipeline(name: string): Promise<{ id: number; stages: Stage[] }> {
    const created = await api.ask(one, 'POST', '/api/pipelines', { body: { name } });
    expect(created.status).toBe(201);
    return created.body.data;
  }
  const save = (id: number, body: object) => api.ask(one, 'PUT', `/api/pipelines/${id}/stages`, { body });

  test('begin with a won and a lost stage', async () => {
    const { stages } = await createPipeline('Begins');
    expect(stages.map(({ type }) => type).toSorted()).toEqual(['lost', 'won']);
  });

  test('save the whole layout at once, in five statements or fewer', async () => {
    const { id, stages } = await createPipeline('Layout');
    const first = await save(id, {
      stages: [{ name: 'A' }, { name: 'B', color: '#112233' }, { name: 'C' }, ...stages.map((stage) => ({ id: stage.id, name: stage.name }))],
    });
    expect(first.status).toBe(200);
    const [a, b, c, won, lost] = first.body.data.stages as Stage[];
    expect([a, b, c, won, lost].map((stage) => stage?.position)).toEqual([0, 1, 2, 3, 4]);
    api.statements.length = 0;
    const second = await save(id, {
      stages: [{ id: c?.id, name: 'C first' }, { id: a?.id, name: 'A' }, { name: 'D' }, { id: lost?.id, name: 'Lost' }, { id: won?.id, name: 'Won' }],
    });
    expect(second.body.data.stages.map((stage: Stage) => stage.name)).toEqual(['C first', 'A', 'D', 'Lost', 'Won']);
    expect(api.statements.filter((text) => /^\s*(insert|update|delete)/.test(text))).toHaveLength(3);
    const read = await api.ask(one, 'GET', `/api/pipelines/${id}`);
    expect(read.text).toBe(second.text);
  });

  test('leads of a removed stage must be told where to go', async () => {
    const { id, stages } = await createPipeline('Leads');
    const ends = stages.map((stage) => ({ id: stage.id, name: stage.name }));
    const made = await save(id, { stages: [{ name: 'A' }, { name: 'B' }, ...ends] });
    const [a, b] = made.body.data.stages as Stage[];
    const lead = await api.ask(one, 'POST', '/api/leads', { body: { title: 'x', contact_id: one.contactIds[0], stage_id: a?.id } });
    const lost = await save(id, { stages: [{ id: b?.id, name: 'B' }, ...ends] });
    expect(lost.status).toBe(409);
    expect(lost.body.details.stages).toEqual([{ id: a?.id, leads: 1 }]);
    const moved = await save(id, { stages: [{ id: b?.id, name: 'B' }, ...ends], reassign: [{ from: a?.id, to: b?.id }] });
    expect(moved.status).toBe(200);
    const read = await api.ask(one, 'GET', `/api/leads/${lead.body.data.id}`);
    expect(read.body.data.stage_id).toBe(b?.id);
  });

  test('keep one won and one lost stage, and take no stage of elsewhere', async () => {
    const { id, stages } = await createPipeline('Ends');
    const [first, second] = stages;
    expect((await save(id, { stages: [{ name: 'A' }, { id: first?.id, name: 'x' }] })).status).toBe(422);
    expect((await save(id, { stages: [{ id: first?.id, name: 'x' }, { id: second?.id, name: 'y' }, { id: two.stages.won, name: 'z' }] })).status).toBe(422);
    expect((await save(id, { stages: [{ id: first?.id, name: 'x' }, { id: first?.id, name: 'y' }] })).status).toBe(400);
    expect((await save(two.pipelineId, { stages: [{ name: 'A' }, { name: 'B' }] })).status).toBe(404);
  });
});

describe('contacts', () => {
  test('say who set do-not-contact', async () => {
    const path = `/api/contacts/${one.contactIds[0]}`;
    const set = await api.ask(one, 'PATCH', path, { body: { do_not_contact: true, do_not_contact_reason: 'asked us' } });
    expect(set.body.data).toMatchObject({ do_not_contact_by: one.userId, do_not_contact_reason: 'asked us' });
    expect(set.body.data.do_not_contact_at).toBeDefined();
    const cleared = await api.ask(one, 'PATCH', path, { body: { do_not_contact: false } });
    expect(cleared.body.data.do_not_contact_by).toBeUndefined();
  });

  test('are deleted with their leads only when asked to', async () => {
    const contact = await api.ask(one, 'POST', '/api/contacts', { body: { name: 'Leaves' } });
    const id = contact.body.data.id;
    const lead = await api.ask(one, 'POST', '/api/leads', { body: { title: 'x', contact_id: id } });
    const refused = await api.ask(one, 'DELETE', `/api/contacts/${id}`);
    expect(refused.status).toBe(409);
    expect(refused.body.details).toEqual({ leads: 1 });
    const narrow = { token: await api.tokenOf(one, ['contacts']) };
    expect((await api.ask(narrow, 'DELETE', `/api/contacts/${id}?with_leads=true`)).status).toBe(403);
    const deleted = await api.ask(one, 'DELETE', `/api/contacts/${id}?with_leads=true`);
    expect(deleted.status).toBe(200);
    expect((await api.ask(one, 'GET', `/api/leads/${lead.body.data.id}`)).status).toBe(404);
    expect((await api.ask(one, 'DELETE', `/api/contacts/${id}`)).status).toBe(404);
  });
});

describe('roles and members', () => {
  const roleId = async (name: string, account = one): Promise<number> => {
    const rows = await api.owner.query(sql`select id from public.roles where account_id = ${account.accountId} and name = ${name}`);
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
      body: { username: 'second', display_name: 'Second', password: 'long enough', role_id: await roleId('Administrator', pair) },
    });
    const second = { token: await api.tokenOf({ accountId: pair.accountId, userId: created.body.data.id }) };
    const answers = await Promise.all([
      api.ask(pair, 'DELETE', `/api/memberships/${created.body.data.membership_id}`),
      api.ask(second, 'DELETE', `/api/memberships/${await membershipId(pair)}`),
    ]);
    expect(answers.map(({ status }) => status).toSorted()[0]).toBe(200);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  test('nobody gives away or rules over more than they have', async () => {
    const lead = { token: await api.tokenOf(one, ['users', 'leads']) };
    const administrator = await roleId('Administrator');
    const grants = [
      api.ask(lead, 'POST', '/api/roles', { body: { name: 'All', permissions: ['*'] } }),
      api.ask(lead, 'POST', '/api/roles', { body: { name: 'Tags', permissions: ['tags'] } }),
      api.ask(lead, 'PATCH', `/api/roles/${administrator}`, { body: { name: 'Mine' } }),
      api.ask(lead, 'PATCH', `/api/users/${one.userId}`, { body: { password: 'taken over it' } }),
      api.ask(lead, 'PATCH', `/api/memberships/${await membershipId(one)}`, { body: { is_default: false } }),
      api.ask(lead, 'POST', '/api/users', {
        body: { username: 'x1', display_name: 'x', password: 'long enough', role_id: administrator },
      }),
    ];
    for (const answer of await Promise.all(grants)) expect(answer.status).toBe(403);
    expect((await api.ask(lead, 'POST', '/api/roles', { body: { name: 'Leads', permissions: ['leads'] } })).status).toBe(201);
  });

  test('users of elsewhere cannot be seen, changed or pulled in', async () => {
    expect((await api.ask(one, 'GET', `/api/users/${two.userId}`)).status).toBe(404);
    expect((await api.ask(one, 'PATCH', `/api/users/${two.userId}`, { body: { display_name: 'x' } })).status).toBe(404);
    const pulled = await api.ask(one, 'POST', '/api/memberships', { body: { user_id: two.userId, role_id: await roleId('Agent') } });
    expect(pulled.status).toBe(403);
    const list = await api.ask(one, 'GET', '/api/users?limit=200');
    expect(list.body.data.map((user: { id: number }) => user.id)).not.toContain(two.userId);
  });

  test('users are created, found, changed and shut out', async () => {
    const created = await api.ask(one, 'POST', '/api/users', {
      body: { username: 'Ana', display_name: 'Ana María', email: 'ana@example.com', password: 'long enough', role_id: await roleId('Agent') },
    });
    expect(created.status).toBe(201);
    expect(created.text).not.toContain('argon2');
    const { id } = created.body.data;
    const read = await api.ask(one, 'GET', created.headers['location'] ?? '');
    expect(read.text).toBe(created.text);
    const found = await api.ask(one, 'GET', '/api/users?search=ana%25');
    expect(found.body.total).toBe(0);
    expect((await api.ask(one, 'GET', '/api/users?search=MAR%C3%8DA')).body).toMatchObject({ total: 1, data: [{ id }] });
    expect((await api.ask(one, 'GET', '/api/users?limit=1&page=99')).body.data).toEqual([]);
    const token = await api.tokenOf({ accountId: one.accountId, userId: id });
    const login = () => api.ask(undefined, 'POST', '/api/auth/login', { body: { username: 'ana', password: 'long enough' } });
    expect((await login()).status).toBe(200);
    const shut = await api.ask(one, 'PATCH', `/api/users/${id}`, { body: { is_active: false, email: null } });
    expect(shut.body.data).toMatchObject({ is_active: false });
    expect(shut.body.data.email).toBeUndefined();
    expect((await login()).status).toBe(401);
    expect((await api.ask({ token }, 'GET', '/api/auth/me')).status).toBe(401);
    const twice = await api.ask(one, 'POST', '/api/users', {
      body: { username: ' ANA ', display_name: 'x', password: 'long enough', role_id: await roleId('Agent') },
    });
    expect(twice.status).toBe(409);
  });

  test('who is in other accounts too is changed here in their role only', async () => {
    await api.owner.query(sql`
      insert into public.memberships (account_id, user_id, role_id)
      select ${one.accountId}, ${two.userId}, id from public.roles where account_id = ${one.accountId} and name = 'Agent'`);
    expect((await api.ask(one, 'PATCH', `/api/users/${two.userId}`, { body: { password: 'taken over it' } })).status).toBe(403);
    const role = await api.ask(one, 'PATCH', `/api/users/${two.userId}`, { body: { role_id: await roleId('Supervisor') } });
    expect(role.status).toBe(200);
    expect(role.body.data.role_id).toBe(await roleId('Supervisor'));
    await api.owner.query(sql`delete from public.memberships where account_id = ${one.accountId} and user_id = ${two.userId}`);
  });
});

describe('accounts', () => {
  test('show their settings to those who may see them, and change for those', async () => {
    const agent = { token: await api.tokenOf(one, ['leads']) };
    const changed = await api.ask(one, 'PATCH', '/api/account', { body: { settings: { theme: 'dark' } } });
    expect(changed.body.data.settings).toEqual({ theme: 'dark' });
    expect((await api.ask(one, 'GET', '/api/account')).text).toBe(changed.text);
    const narrow = await api.ask(agent, 'GET', '/api/account');
    expect(narrow.status).toBe(200);
    expect(narrow.text).not.toContain('theme');
    expect((await api.ask(agent, 'PATCH', '/api/account', { body: { name: 'x' } })).status).toBe(403);
    expect((await api.ask(one, 'PATCH', '/api/account', { body: { plan: 'gold' } })).status).toBe(400);
    expect((await api.ask(one, 'PATCH', '/api/account', { body: { default_stage_id: two.stages.active[0] } })).status).toBe(422);
  });

  test('are made and governed by super administrators', async () => {
    for (const [method, path] of [['GET', '/api/accounts'], ['POST', '/api/accounts'], ['GET', `/api/accounts/${two.accountId}`], ['PATCH', `/api/accounts/${two.accountId}`]] as const) {
      expect((await api.ask(one, method, path, { body: method === 'GET' ? undefined : {} })).status).toBe(403);
    }
    const root = await api.account('root');
    await api.owner.query(sql`update public.users set is_super_admin = true where id = ${root.userId}`);
    const caller = { token: await api.tokenOf(root) };
    const created = await api.ask(caller, 'POST', '/api/accounts', { body: { name: 'Fresh', slug: 'fresh', settings: { a: 1 } } });
    expect(created.status).toBe(201);
    expect(created.body.data.default_stage_id).toBeGreaterThan(0);
    expect((await api.ask(caller, 'GET', created.headers['location'] ?? '')).text).toBe(created.text);
    const list = await api.ask(caller, 'GET', '/api/accounts?limit=200');
    expect(list.body.data.map((account: { slug: string }) => account.slug)).toEqual(expect.arrayContaining(['one', 'two', 'fresh']));
    const closed = await api.ask(caller, 'PATCH', `/api/accounts/${created.body.data.id}`, { body: { is_active: false, plan: 'gold' } });
    expect(closed.body.data).toMatchObject({ is_active: false, plan: 'gold' });
    const entered = await api.ask(caller, 'POST', '/api/auth/switch-account', { body: { account_id: created.body.data.id } });
    expect(entered.status).toBe(404);
    const member = await api.ask(caller, 'POST', '/api/memberships', {
      body: { user_id: one.userId, role_id: (await api.ask(caller, 'GET', '/api/roles?search=Agent')).body.data[0].id },
    });
    expect(member.status).toBe(201);
  });
});
