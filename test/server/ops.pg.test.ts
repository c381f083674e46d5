import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { readConfig, type Config } from '../../platform/config.ts';
import { createLog } from '../../platform/log.ts';
import { sql } from '../../platform/sql.ts';
import { startApi } from '../../server/api/main.ts';
import { secondsOfBudget, WalRate } from '../../server/api/ops/slots.ts';
import { runVerify } from '../../server/api/verify.ts';
import { startIngest } from '../../server/ingest/main.ts';
import { toLsn } from '../../domain/lsn.ts';
import {
  commonRedisUrl,
  createTestDatabase,
  startRedis,
  type TestDatabase,
} from '../support/services.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

const log = createLog({ component: 'api', level: 'silent' });
const SECRET = 'a secret of the tests that is long enough';

describe('for operators', () => {
  let api: TestApi;
  let one: Caller;

  beforeAll(async () => {
    api = await startTestApi();
    one = await api.account('one');
  });

  test('metrics name requests by route and nothing by path', async () => {
    await api.ask(one, 'GET', `/api/leads/${one.leadIds[0]}`);
    const { status, text } = await api.ask(undefined, 'GET', '/metrics');
    expect(status).toBe(200);
    expect(text).toMatch(
      /clarin_http_request_seconds_count\{[^}]*route="\/api\/leads\/:id"[^}]*\} 1/,
    );
    expect(text).toMatch(/clarin_pool_connections\{[^}]*state="idle"/);
    expect(text).toContain('clarin_cache_incoherent_total');
  });

  test('the process is live though the feed is not, and says why it is not ready', async () => {
    expect((await api.ask(undefined, 'GET', '/health/live')).status).toBe(200);
    const ready = await api.ask(undefined, 'GET', '/health/ready');
    expect(ready.status).toBe(503);
    expect(ready.body.status).toBe('red');
    for (const check of ready.body.checks) expect(check.says.length).toBeGreaterThan(3);
    expect(ready.text).not.toMatch(/postgres:\/\/|redis:\/\//);
  });

  test('the slot page says what the slot keeps, who reads it and what that means', async () => {
    const missing = await api.ask(one, 'GET', '/ops/slots');
    expect(missing.body.data).toMatchObject([{ name: api.config.slot, ok: false }]);
    await api.owner.query(
      sql`select pg_create_logical_replication_slot(${api.config.slot}, 'pgoutput')`,
    );
    const { body } = await api.ask(one, 'GET', '/ops/slots');
    expect(body.data).toMatchObject([
      {
        name: api.config.slot,
        plugin: 'pgoutput',
        active: false,
        wal_status: 'reserved',
        ok: false,
        is_feed_live: false,
      },
    ]);
    expect(body.data[0]).toHaveProperty('retained_bytes');
    expect(body.data[0].confirmed_flush_lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    const narrow = { token: await api.tokenOf(one, ['leads']) };
    expect((await api.ask(narrow, 'GET', '/ops/slots')).status).toBe(403);
  });
});

test('the time a WAL budget lasts follows from the rate of the last minutes', () => {
  const rate = new WalRate();
  expect(rate.measure({ atMs: 0, lsn: toLsn(1_000n) })).toBeUndefined();
  expect(rate.measure({ atMs: 10_000, lsn: toLsn(21_000n) })).toBe(2_000);
  expect(secondsOfBudget(1_000_000, 2_000)).toBe(500);
  expect(secondsOfBudget(null, 2_000)).toBeUndefined();
  expect(secondsOfBudget(1_000_000, 0)).toBeUndefined();
});

describe('starting', () => {
  let db: TestDatabase;
  const configOf = (environment: Record<string, string> = {}): Config =>
    readConfig({
      DATABASE_URL: db.url,
      REDIS_URL: commonRedisUrl(),
      CLARIN_SECRET: SECRET,
      CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
      MEDIA_DIR: join(inject('runDirectory'), 'media'),
      API_PORT: '0',
      INGEST_PORT: '0',
      CLARIN_REDIS_PREFIX: `start-${process.pid}`,
      ...environment,
    });

  beforeAll(async () => {
    db = await createTestDatabase();
  });
  afterAll(() => db.drop());

  test('the API listens, answers and stops, twice without harm', async () => {
    const running = await startApi(configOf(), log);
    const answer = await fetch(`${running.url}/health/live`);
    expect(await answer.json()).toEqual({ status: 'green' });
    await running.stop();
    await running.stop();
    await expect(fetch(`${running.url}/health/live`)).rejects.toThrow('fetch failed');
  });

  test('ingest answers its probes, counts, and stops', async () => {
    const running = await startIngest(configOf(), log);
    for (const [path, status] of [
      ['/health/live', 200],
      ['/health/ready', 200],
      ['/metrics', 200],
      ['/', 404],
    ] as const) {
      const answer = await fetch(`${running.url}${path}`);
      await answer.text();
      expect({ path, status: answer.status }).toEqual({ path, status });
    }
    await running.stop();
  });

  test('ingest is red when its files have no place, and says so', async () => {
    const running = await startIngest(configOf({ MEDIA_DIR: '/dev/null/media' }), log);
    const answer = await fetch(`${running.url}/health/ready`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      checks: [
        { name: 'database', ok: true },
        { name: 'media', ok: false },
      ],
    });
    await running.stop();
  });

  test('a port that is taken is named with the setting that changes it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    await expect(startApi(configOf({ API_PORT: String(port) }), log)).rejects.toMatchObject({
      code: 'configuration',
      message: `port ${port} is taken: stop what listens there, or set API_PORT to another one.`,
    });
    await expect(startIngest(configOf({ INGEST_PORT: String(port) }), log)).rejects.toThrow(
      /INGEST_PORT/,
    );
    other.close();
  });

  test('a database that is away or empty and a Redis that is away or evicts are said in words', async () => {
    const nowhere = 'postgres://x:secret@127.0.0.1:1/x';
    const away = await startApi(configOf({ DATABASE_URL: nowhere }), log).catch(
      (error: unknown) => error,
    );
    expect(away).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('Postgres at 127.0.0.1:1'),
    });
    expect(String(away)).not.toContain('secret');
    const empty = new URL(db.ownerUrl);
    empty.pathname = '/postgres';
    await expect(startApi(configOf({ DATABASE_URL: empty.href }), log)).rejects.toThrow(
      /clarin migrate/,
    );
    await expect(startApi(configOf({ REDIS_URL: 'redis://127.0.0.1:1' }), log)).rejects.toThrow(
      /REDIS_URL/,
    );
    const evicting = await startRedis({ 'maxmemory-policy': 'allkeys-lru' });
    await expect(startApi(configOf({ REDIS_URL: evicting.url }), log)).rejects.toThrow(
      /noeviction/,
    );
    await evicting.stop();
  });

  test('verify of an empty cache finds nothing wrong', async () => {
    expect(await runVerify(configOf(), log, [])).toBe(0);
    await expect(runVerify(configOf(), log, ['x'])).rejects.toThrow(/usage/);
  });
});
