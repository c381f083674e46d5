import { beforeAll, describe, expect, test } from 'vitest';
import { listFamily, PRINCIPALS, rowFamily } from '../../domain/cache-key.ts';
import { parseCursor } from '../../domain/cursor.ts';
import { CacheInspector } from '../../platform/cache/inspect.ts';
import { createLog } from '../../platform/log.ts';
import { compile, sql, type Sql } from '../../platform/sql.ts';
import { sampleOnce } from '../../server/api/sampler.ts';
import { verifyAll } from '../../server/api/verify.ts';
import { verifyEntry } from '../../server/api/verify-entries.ts';
import { openLiveCache, type LiveCache } from './live-cache.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let live: LiveCache;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  live = await openLiveCache(api.owner, api.config.redisUrl, api.config.redisPrefix);
});

const get = (path: string, headers: Record<string, string> = {}, caller = one) =>
  api.ask(caller, 'GET', path, { headers });

async function fromCache(path: string, caller = one): Promise<string | undefined> {
  return (await get(path, {}, caller)).headers['clarin-cache'];
}

describe('reads through the cache', () => {
  const paths = () => [
    `/api/leads/${one.leadIds[0]}`,
    `/api/contacts/${one.contactIds[0]}`,
    `/api/pipelines/${one.pipelineId}`,
    `/api/tags/${one.tagIds[0]}`,
    '/api/leads?status=open&sort=title',
    '/api/contacts?search=person',
    '/api/pipelines',
    '/api/tags',
    `/api/leads/board?pipeline_id=${one.pipelineId}`,
  ];

  test('a miss, then hits with the very same bytes, headers and cursor, without a statement', async () => {
    for (const path of paths()) {
      const miss = await get(path);
      expect({ path, status: miss.status, from: miss.headers['clarin-cache'] }).toEqual({
        path,
        status: 200,
        from: 'miss',
      });
      api.statements.length = 0;
      const hit = await get(path);
      expect({ path, from: hit.headers['clarin-cache'] }).toEqual({ path, from: 'hit' });
      expect(hit.text).toBe(miss.text);
      expect(hit.headers['etag']).toBe(miss.headers['etag']);
      expect(hit.headers['content-type']).toBe('application/json; charset=utf-8');
      expect(parseCursor(hit.headers['clarin-cursor'] ?? '')?.epoch).toBe(live.epoch.id);
      expect(api.statements).toEqual([]);
    }
  });

  test('the order and spelling of a query make no other entry', async () => {
    await get('/api/leads?status=won&limit=20');
    expect(await fromCache('/api/leads?limit=20&status=won&page=1')).toBe('hit');
  });

  test('a hit is not sent again to who has it', async () => {
    const path = `/api/leads/${one.leadIds[1]}`;
    const { headers } = await get(path);
    const again = await get(path, { 'if-none-match': headers['etag'] ?? '' });
    expect([again.status, again.headers['clarin-cache']]).toEqual([304, 'hit']);
  });

  test('what is not there is kept too, and found when it comes', async () => {
    const path = '/api/tags/900001';
    expect([(await get(path)).status, (await get(path)).headers['clarin-cache']]).toEqual([
      404,
      'hit',
    ]);
    await api.owner.query(sql`
      insert into public.tags (id, account_id, name) overriding system value values (900001, ${one.accountId}, 'late')`);
    await live.invalidate(one.accountId, { [rowFamily('tags')]: ['900001'] });
    const found = await get(path);
    expect([found.status, found.headers['clarin-cache']]).toEqual([200, 'miss']);
  });

  test('entries are of one account', async () => {
    const path = `/api/leads/${one.leadIds[0]}`;
    await get(path);
    expect((await get(path, {}, two)).status).toBe(404);
    expect(
      (await get('/api/tags', {}, two)).body.data.every(
        (tag: { account_id: number }) => tag.account_id === two.accountId,
      ),
    ).toBe(true);
  });

  test('the board of the default pipeline is never kept: no lead changes when another becomes it', async () => {
    await get('/api/leads/board');
    expect(await fromCache('/api/leads/board')).toBe('bypass');
  });

  test('a reader who has seen a commit is answered from Postgres until the position has passed it', async () => {
    const path = `/api/tags/${one.tagIds[1]}`;
    await get(path);
    const written = await api.ask(one, 'PATCH', path, { body: { name: 'seen by its writer' } });
    const headers = { 'clarin-min-commit': written.headers['clarin-commit'] ?? '' };
    const early = await get(path, headers);
    expect([early.headers['clarin-cache'], early.text]).toEqual(['bypass', written.text]);
    expect(await fromCache(path)).toBe('hit');
    await live.invalidate(one.accountId, {
      [rowFamily('tags')]: [String(one.tagIds[1])],
      [listFamily('tags')]: 'all',
    });
    const later = await get(path, headers);
    expect([later.headers['clarin-cache'], later.text]).toEqual(['miss', written.text]);
  });

  test('uncached tables say bypass and give a cursor all the same', async () => {
    const { headers } = await get('/api/roles');
    expect(headers['clarin-cache']).toBe('bypass');
    expect(parseCursor(headers['clarin-cursor'] ?? '')?.epoch).toBe(live.epoch.id);
  });

  test('who is asking is read from the cache until the WAL says otherwise', async () => {
    const token = await api.tokenOf(one);
    const caller = { ...one, token };
    expect((await get('/api/auth/me', {}, caller)).status).toBe(200);
    const { body } = await get('/api/auth/me', {}, caller);
    await api.ask(caller, 'POST', '/api/auth/logout');
    await live.invalidate(one.accountId, { [PRINCIPALS]: [String(body.data.session_id)] });
    expect((await get('/api/auth/me', {}, caller)).status).toBe(401);
    expect((await get('/api/auth/me', {}, caller)).status).toBe(401);
  });

  test('a write is judged by what is so now, whatever the cache still says', async () => {
    const caller = { ...one, token: await api.tokenOf(one) };
    expect((await get('/api/tags', {}, caller)).status).toBe(200);
    await api.ask(caller, 'POST', '/api/auth/logout');
    const late = await api.ask(caller, 'POST', '/api/tags', { body: { name: 'after the end' } });
    expect(late.status).toBe(401);
  });

  test('who has seen a commit is judged by what it lets them do', async () => {
    const caller = { ...one, token: await api.tokenOf(one, ['users']) };
    const { body } = await get('/api/auth/me', {}, caller);
    const path = `/api/roles/${body.data.role_id}`;
    const narrowed = await api.ask(one, 'PATCH', path, { body: { permissions: ['tags'] } });
    const headers = { 'clarin-min-commit': narrowed.headers['clarin-commit'] ?? '' };
    expect((await get('/api/tags', headers, caller)).status).toBe(200);
    expect((await get('/api/users', headers, caller)).status).toBe(403);
  });
});

describe('verify', () => {
  const means = () => ({
    database: api.database,
    cache: api.cache,
    inspector: new CacheInspector({ redis: live.redis, space: { prefix: api.config.redisPrefix } }),
    log: createLog({ component: 'cache', level: 'silent' }),
    metrics: api.metrics,
  });
  const key = (family: string) =>
    `${api.config.redisPrefix}:{a:${two.accountId}}:${live.epoch.id}:f:${family}`;

  test('finds entries of every kind coherent', async () => {
    for (const path of [
      '/api/tags',
      `/api/leads/${two.leadIds[0]}`,
      '/api/leads?sort=value',
      `/api/leads/board?pipeline_id=${two.pipelineId}`,
      '/api/tags/99999999',
    ]) {
      await get(path, {}, two);
    }
    await live.advance();
    const keepPassing = setInterval(() => void live.advance(), 100);
    const counts = await verifyAll(means(), [two.accountId]);
    expect(counts.coherent).toBeGreaterThanOrEqual(6);
    expect(counts).toMatchObject({ incoherent: 0, unjudged: 0 });
    expect(await sampleOnce(means())).toBeGreaterThan(0);
    clearInterval(keepPassing);
  });

  test('finds an entry that is not what Postgres says, of rows, lists and principals', async () => {
    await get(`/api/leads/${two.leadIds[0]}`, {}, two);
    await get('/api/leads?sort=value', {}, two);
    // Beside its entries a family holds a count of its bytes, in any order.
    const principals = await live.redis.hkeys(key(PRINCIPALS));
    const forged: [string, string][] = [
      [rowFamily('leads'), String(two.leadIds[0])],
      [listFamily('leads'), 'list?sort=value'],
      [PRINCIPALS, principals.find((field) => /^\d+$/.test(field)) ?? ''],
    ];
    for (const [family, field] of forged)
      await live.redis.hset(key(family), field, '{"data":"forged"}');
    const keepPassing = setInterval(() => void live.advance(), 100);
    const counts = await verifyAll(means(), [two.accountId]);
    clearInterval(keepPassing);
    expect(counts.incoherent).toBe(3);
    for (const [family] of forged) await live.redis.del(key(family));
  });

  test('does not count what is being invalidated', async () => {
    const path = `/api/tags/${two.tagIds[0]}`;
    await get(path, {}, two);
    await api.owner.query(
      sql`update public.tags set name = 'meanwhile' where id = ${two.tagIds[0]}`,
    );
    const judging = verifyAll(means(), [two.accountId]);
    await live.invalidate(two.accountId, {
      [rowFamily('tags')]: [String(two.tagIds[0])],
      [listFamily('tags')]: 'all',
    });
    const keepPassing = setInterval(() => void live.advance(), 100);
    expect(await judging).toMatchObject({ incoherent: 0 });
    clearInterval(keepPassing);
  });

  test('does not count what goes to and fro while it is looked at', async () => {
    const [leadId, contactId] = [two.leadIds[1] ?? 0, two.contactIds[2] ?? 0];
    await api.owner.query(
      sql`update public.leads set contact_id = ${contactId} where id = ${leadId}`,
    );
    // A lead shows its contact's name, and not when that was changed: the same bytes come back.
    const rename = async (name: string): Promise<void> => {
      await api.owner.query(sql`update public.contacts set name = ${name} where id = ${contactId}`);
      await live.invalidate(two.accountId, { [rowFamily('leads')]: 'all' });
    };
    const show = async (name: string): Promise<void> => {
      await rename(name);
      expect((await get(`/api/leads/${leadId}`, {}, two)).text).toContain(name);
    };
    let turns = 0;
    const query = async (statement: Sql): ReturnType<typeof api.database.query> => {
      const isBehind = compile(statement).text.includes('pg_current_wal_insert_lsn');
      if (!isBehind) await rename(`to ${++turns}`);
      const rows = await api.database.query(statement);
      if (isBehind) await show('fro');
      return rows;
    };
    await show('fro');
    const entry = { accountId: two.accountId, family: rowFamily('leads'), field: String(leadId) };
    const keepPassing = setInterval(() => void live.advance(), 100);
    const verdict = await verifyEntry({ ...means(), database: { query } }, live.epoch.id, entry);
    clearInterval(keepPassing);
    expect([turns, verdict]).toEqual([3, 'coherent']);
  });
});

test('without a lease reads bypass the cache, and health is red', async () => {
  await live.die();
  expect(await fromCache('/api/tags')).toBe('bypass');
  const { status, body } = await get('/health/ready');
  expect(status).toBe(503);
  const checks = Object.fromEntries(
    body.checks.map((check: { name: string; ok: boolean }) => [check.name, check.ok]),
  );
  expect(checks).toEqual({ database: true, redis: true, slot: false, heartbeat: false });
});
