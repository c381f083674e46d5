import { mkdtemp, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, describe, expect, inject, it } from 'vitest';
import type { Ready } from '../../bin/dev/greeting.ts';
import { findFreePort, isPortFree } from '../../platform/services/ports.ts';
import { isAlive } from '../../platform/services/processes.ts';
import { findChildren } from '../support/children.ts';
import { eventually, startPostgres, startRedis } from '../support/services.ts';
import { spawnRole, type RunningRole } from '../support/spawn-role.ts';

/** A newcomer's machine: `clarin dev` from the outside, as a program that starts it. */
const READY = 'clarin ready ';
const running: RunningRole[] = [];

afterEach(async () => {
  for (const dev of running.splice(0)) await dev.stop();
});

async function environmentOfOne(): Promise<Record<string, string>> {
  return {
    CLARIN_DATA_DIR: await mkdtemp(join(inject('runDirectory'), 'dev-')),
    API_PORT: String(await findFreePort()),
    FEED_PORT: String(await findFreePort()),
    ...(process.env['PG_BIN'] && { PG_BIN: process.env['PG_BIN'] }),
  };
}

async function start(environment: Record<string, string>): Promise<RunningRole> {
  const dev = await spawnRole('dev', environment, { until: 'nothing' });
  running.push(dev);
  return dev;
}

async function readyOf(dev: RunningRole): Promise<Ready> {
  let hasEnded = false;
  void dev.exited.then(() => (hasEnded = true));
  const line = await eventually(
    () => {
      if (hasEnded) return 'ended';
      return dev.text.find((each) => each.startsWith(READY));
    },
    { timeoutMs: 90_000, says: 'dev is ready' },
  );
  if (line === 'ended') throw new Error(`dev ended:\n${dev.text.join('\n')}`);
  expect(dev.text.at(-1)).toBe(line);
  return JSON.parse(line.slice(READY.length)) as Ready;
}

async function query(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

async function refusalOf(environment: Record<string, string>): Promise<string> {
  const dev = await start(environment);
  const exit = await dev.exited;
  expect(exit.code).toBe(1);
  const sentences = dev.text.filter((line) => line.startsWith('clarin: '));
  expect(sentences).toHaveLength(1);
  return sentences[0] ?? '';
}

async function stillTaken(ready: Ready): Promise<string[]> {
  const taken: string[] = [];
  for (const url of [ready.api, ready.feed, ready.database, ready.redis]) {
    if (!(await isPortFree('127.0.0.1', Number(new URL(url).port)))) taken.push(url);
  }
  return taken;
}

describe('clarin dev', () => {
  it('starts everything, says where it is, stops all of it on Ctrl-C and keeps the data', async () => {
    const environment = await environmentOfOne();
    const first = await start(environment);
    const ready = await readyOf(first);
    const login = await fetch(`${ready.api}/api/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(ready.login),
    });
    expect(login.status).toBe(200);
    await query(ready.database, `update leads set title = 'kept'`);
    first.kill('SIGINT');
    first.kill('SIGINT');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(await stillTaken(ready)).toEqual([]);

    const second = await start(environment);
    const again = await readyOf(second);
    expect(await query(again.database, 'select distinct title from leads')).toEqual([
      { title: 'kept' },
    ]);
    const secrets = await stat(join(environment['CLARIN_DATA_DIR'] ?? '', 'secrets.json'));
    expect(secrets.mode & 0o777).toBe(0o600);
  });

  it('leaves nothing behind when it is killed, and starts again at once', async () => {
    const environment = await environmentOfOne();
    const first = await start(environment);
    const before = await readyOf(first);
    const children = findChildren(first.pid);
    first.kill('SIGKILL');
    const second = await start(environment);
    await readyOf(second);
    await second.stop();
    expect(await stillTaken(before)).toEqual([]);
    await eventually(() => children.every(({ pid }) => !isAlive(pid)), {
      timeoutMs: 20_000,
      says: 'what it had started has ended',
    });
  });

  it.runIf(process.platform === 'linux')('starts a role again that was killed', async () => {
    const dev = await start(await environmentOfOne());
    const ready = await readyOf(dev);
    const origin = ready.feed.replace(/^ws/, 'http').replace(/\/feed$/, '');
    const replicator = findChildren(dev.pid).find(({ command }) => command.endsWith(' replicator'));
    if (replicator) process.kill(replicator.pid, 'SIGKILL');
    await eventually(() => dev.text.find((line) => line.startsWith('[replicator] ended')), {
      says: 'dev notices',
    });
    await eventually(async () => (await fetch(`${origin}/health/ready`)).ok, {
      timeoutMs: 30_000,
      says: 'the feed is live again',
    });
  });
});

describe('clarin dev refuses in one sentence', () => {
  it('a port that is taken', async () => {
    const environment = await environmentOfOne();
    const server = createServer().listen(Number(environment['FEED_PORT']), '127.0.0.1');
    expect(await refusalOf(environment)).toMatch(/Port \d+ on 127\.0\.0\.1 is taken: .*FEED_PORT/);
    server.close();
  });

  it('a data directory in use', async () => {
    const environment = await environmentOfOne();
    const first = await start(environment);
    await readyOf(first);
    expect(await refusalOf({ ...environment, ...(await otherPorts()) })).toMatch(
      /already runs with .*\(process \d+\)/,
    );
  });

  it('a Postgres without logical decoding, and a role that may not replicate', async () => {
    const replica = await startPostgres({ conf: { wal_level: 'replica' } });
    const environment = await environmentOfOne();
    expect(await refusalOf({ ...environment, DATABASE_URL: replica.url })).toMatch(
      /wal_level = replica: run `alter system set wal_level = logical`/,
    );
    await replica.remove();

    const logical = await startPostgres();
    await query(logical.url, 'create role plain login');
    const plain = logical.url.replace('//clarin@', '//plain@');
    expect(await refusalOf({ ...environment, DATABASE_URL: plain })).toMatch(
      /role plain of DATABASE_URL may not replicate: run `alter role "plain" replication`/,
    );
    await logical.remove();
  });

  it('a Redis that evicts', async () => {
    const redis = await startRedis({ 'maxmemory-policy': 'allkeys-lru' });
    const environment = await environmentOfOne();
    expect(await refusalOf({ ...environment, REDIS_URL: redis.url })).toMatch(
      /evicts .*noeviction/,
    );
    await redis.stop();
  });

  it('services that do not answer, and settings that are none', async () => {
    const environment = await environmentOfOne();
    const nobody = await findFreePort();
    expect(
      await refusalOf({ ...environment, DATABASE_URL: `postgres://127.0.0.1:${nobody}/x` }),
    ).toMatch(/DATABASE_URL does not answer/);
    expect(await refusalOf({ ...environment, REDIS_URL: `redis://127.0.0.1:${nobody}` })).toMatch(
      /REDIS_URL does not answer/,
    );
    expect(await refusalOf({ ...environment, API_PORT: 'eighty' })).toMatch(
      /API_PORT must be a port/,
    );
  });
});

async function otherPorts(): Promise<Record<string, string>> {
  return { API_PORT: String(await findFreePort()), FEED_PORT: String(await findFreePort()) };
}

describe('clarin', () => {
  it('names its roles when it is asked for one it has not', async () => {
    const role = await spawnRole('nonsense' as 'dev', {}, { until: 'nothing' });
    expect(await role.exited).toEqual({ code: 1, signal: null });
    expect(role.text[0]).toBe('clarin: there is no role "nonsense".');
    expect(role.text.join('\n')).toContain('replicator');
  });

  it('names what is missing', async () => {
    const role = await spawnRole('api', {}, { until: 'nothing' });
    expect(await role.exited).toEqual({ code: 1, signal: null });
    expect(role.text.join()).toMatch(
      /DATABASE_URL is missing; REDIS_URL is missing; CLARIN_SECRET is missing/,
    );
  });
});
