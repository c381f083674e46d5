import { afterAll, beforeAll, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually, startRedis, type TestRedis } from '../support/services.ts';
import { openLiveCache } from './live-cache.ts';
import {
  givePassword,
  PASSWORD,
  startTestApi,
  type Answer,
  type Caller,
  type TestApi,
} from './support.ts';
import { writeIntegrations } from './writes-of-integrations.ts';

let api: TestApi;
let redis: TestRedis;
let one: Caller;
let username: string;

beforeAll(async () => {
  redis = await startRedis();
  api = await startTestApi({ redisUrl: redis.url });
  one = await api.account('one');
  username = await givePassword(api.owner, one.userId);
  await api.owner.query(
    sql`update public.users set is_super_admin = true where id = ${one.userId}`,
  );
  one = { ...one, token: await api.tokenOf(one) };
});

afterAll(() => redis.stop());

type Write = readonly [route: string, body?: object, path?: string];

type Run = (...write: Write) => Promise<Answer['body']>;

/** The routes of contacts and interactions, but for deleting the contact this gives. */
async function writeContacts(run: Run, n: number): Promise<{ id: number }> {
  const other = await run('POST /api/contacts', { name: `Other ${n}` });
  const contact = await run('POST /api/contacts', { name: `Person ${n}` });
  const path = `/api/contacts/${contact.id}`;
  await run('PATCH /api/contacts/{id}', { name: 'Renamed' }, path);
  const steps: [route: string, body?: object][] = [
    ['POST /api/contacts/{id}/do-not-contact', { reason: 'asked us' }],
    ['DELETE /api/contacts/{id}/do-not-contact'],
    ['POST /api/contacts/{id}/reset-name', {}],
    ['POST /api/contacts/{id}/merge', { contact_ids: [other.id] }],
  ];
  for (const [route, body] of steps)
    await run(route, body, `${path}/${route.slice(route.lastIndexOf('/') + 1)}`);
  await run('POST /api/contacts/bulk', { action: 'allow_contact', ids: [contact.id] });
  const call = await run('POST /api/interactions', { kind: 'call', contact_id: contact.id });
  const interaction = `/api/interactions/${call.id}`;
  await run('PATCH /api/interactions/{id}', { outcome: 'done' }, interaction);
  await run('DELETE /api/interactions/{id}', undefined, interaction);
  return contact;
}

/** A request for every writing route there is, in an order in which each finds what it needs. `n` keeps names apart. */
async function writeEverything(n: number): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  const run = async (...[route, body, path]: Write): Promise<Answer['body']> => {
    const [method = '', template = ''] = route.split(' ');
    const answer = await api.ask(one, method, path ?? template, { body });
    answers.set(route, answer);
    return answer.body?.data;
  };
  const login = await api.ask(undefined, 'POST', '/api/auth/login', {
    body: { username, password: PASSWORD },
  });
  answers.set('POST /api/auth/login', login);
  await run('POST /api/auth/refresh', { refresh_token: login.body.refresh_token });
  await run('POST /api/auth/switch-account', { account_id: one.accountId });

  await writeIntegrations(run, n);
  const contact = await writeContacts(run, n);
  const tag = await run('POST /api/tags', { name: `Written ${n}` });
  await run('PATCH /api/tags/{id}', { color: '#abcdef' }, `/api/tags/${tag.id}`);
  const lead = await run('POST /api/leads', { title: `Lead ${n}`, contact_id: contact.id });
  const leadPath = `/api/leads/${lead.id}`;
  await run('PATCH /api/leads/{id}', { title: 'Retitled' }, leadPath);
  await run('POST /api/leads/{id}/stage', { stage_id: one.stages.active[1] }, `${leadPath}/stage`);
  for (const step of ['won', 'lost', 'archive', 'unarchive', 'restore']) {
    await run(`POST /api/leads/{id}/${step}`, {}, `${leadPath}/${step}`);
  }
  await run('POST /api/leads/bulk', { action: 'archive', ids: [lead.id] });
  await run('POST /api/tags/{id}/assign', { leads: [lead.id] }, `/api/tags/${tag.id}/assign`);
  await run('POST /api/tags/{id}/remove', { leads: [lead.id] }, `/api/tags/${tag.id}/remove`);
  await run('DELETE /api/leads/{id}', undefined, leadPath);
  await run('DELETE /api/contacts/{id}', undefined, `/api/contacts/${contact.id}?with_leads=true`);
  await run('DELETE /api/tags/{id}', undefined, `/api/tags/${tag.id}`);

  const pipeline = await run('POST /api/pipelines', { name: `Pipeline ${n}` });
  const stage = await run('POST /api/pipeline_stages', { pipeline_id: pipeline.id, name: 'New' });
  await run(
    'PATCH /api/pipeline_stages/{id}',
    { name: 'Newer' },
    `/api/pipeline_stages/${stage.id}`,
  );
  await run('DELETE /api/pipeline_stages/{id}', undefined, `/api/pipeline_stages/${stage.id}`);
  const stages = pipeline.stages.map(({ id, name }: { id: number; name: string }) => ({
    id,
    name,
  }));
  await run('PUT /api/pipelines/{id}/stages', { stages }, `/api/pipelines/${pipeline.id}/stages`);
  await run('PATCH /api/pipelines/{id}', { name: 'Renamed' }, `/api/pipelines/${pipeline.id}`);
  await run('DELETE /api/pipelines/{id}', undefined, `/api/pipelines/${pipeline.id}`);

  const role = await run('POST /api/roles', { name: `Role ${n}`, permissions: ['leads'] });
  await run('PATCH /api/roles/{id}', { permissions: ['tags'] }, `/api/roles/${role.id}`);
  const person = {
    username: `user-${n}`,
    display_name: 'Somebody',
    password: 'long enough',
    role_id: role.id,
  };
  const user = await run('POST /api/users', person);
  await run('PATCH /api/users/{id}', { display_name: 'Somebody else' }, `/api/users/${user.id}`);
  await run(
    'PATCH /api/memberships/{id}',
    { is_default: true },
    `/api/memberships/${user.membership_id}`,
  );
  await run('DELETE /api/memberships/{id}', undefined, `/api/memberships/${user.membership_id}`);
  await run('POST /api/memberships', { user_id: user.id, role_id: role.id });
  await run('DELETE /api/users/{id}', undefined, `/api/users/${user.id}`);
  await run('DELETE /api/roles/{id}', undefined, `/api/roles/${role.id}`);
  const account = await run('POST /api/accounts', { name: `Account ${n}`, slug: `account-${n}` });
  await run('PATCH /api/accounts/{id}', { plan: 'gold' }, `/api/accounts/${account.id}`);
  await run('DELETE /api/accounts/{id}', undefined, `/api/accounts/${account.id}`);
  await run('PATCH /api/account', { name: `Renamed ${n}` });

  const [open] = await api.owner.query(sql`
    insert into public.sessions (account_id, user_id, expires_at)
    values (${one.accountId}, ${one.userId}, now() + interval '1 day')
    returning id`);
  await run('DELETE /api/sessions/{id}', undefined, `/api/sessions/${open?.['id']}`);
  const session = { token: await api.tokenOf(one) };
  answers.set('POST /api/auth/logout', await api.ask(session, 'POST', '/api/auth/logout'));
  await run('POST /api/auth/password', { password: PASSWORD, new_password: PASSWORD });
  one = { ...one, token: await api.tokenOf(one) };
  return answers;
}

function expectAllDone(answers: Map<string, Answer>): void {
  for (const [route, { status, text }] of answers) {
    expect({ route, status, text: status < 300 ? '' : text }).toEqual({
      route,
      status: expect.toSatisfy((s: number) => s < 300),
      text: '',
    });
  }
}

test('no write touches Redis, on any writing route there is', async () => {
  await openLiveCache(api.owner, redis.url, api.config.redisPrefix);
  const watcher = api.redis.duplicate({ lazyConnect: false, enableOfflineQueue: true });
  const monitor = await watcher.monitor();
  const seen: string[][] = [];
  const own = await api.redis.client('INFO');
  const address = /\baddr=(\S+)/.exec(String(own))?.[1];
  monitor.on('monitor', (_time: string, words: string[], source: string) => {
    if (source === address) seen.push(words);
  });
  await api.redis.ping();
  const answers = await writeEverything(1);
  // On the same connection: once it is seen, so is everything before it.
  await api.redis.ping('done');
  await eventually(() => seen.some((words) => words.includes('done')), {
    says: 'what the API sends is seen',
  });
  monitor.disconnect();
  watcher.disconnect();
  expectAllDone(answers);

  const documented = Object.entries(
    (await api.ask(undefined, 'GET', '/docs/json')).body.paths as Record<string, object>,
  )
    .flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    .filter((route) => !route.startsWith('GET'));
  expect([...answers.keys()].toSorted()).toEqual(documented.toSorted());

  expect(seen.filter(([name]) => name?.toLowerCase() !== 'ping')).toEqual([]);
});

test('every write works while Redis is away', async () => {
  await redis.stop();
  expectAllDone(await writeEverything(2));
  const read = await api.ask(one, 'GET', '/api/leads');
  expect([read.status, read.headers['clarin-cache']]).toEqual([200, 'bypass']);
  await redis.start();
});
