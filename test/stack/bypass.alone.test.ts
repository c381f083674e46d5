import type pg from 'pg';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CacheReader, type CacheStatus } from '../../platform/cache/reader.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createRedis } from '../../platform/redis.ts';
import { commitInvisibly, setStandby } from '../replicator/invisible-commit.ts';
import { createWorld, insertTag, type World } from '../replicator/running.ts';
import { connect, log } from '../replicator/support.ts';
import { openLink, type Link } from '../soak/faults/link.ts';
import {
  eventually,
  startPostgres,
  startRedis,
  type TestPostgres,
  type TestRedis,
} from '../support/services.ts';
import { spawnRole, type RunningRole } from '../support/spawn-role.ts';

/** The promise, not what the code makes of it. */
const PROMISED_MS = 3_000;
/** Between an order and its effect: a signal that is on its way, a heartbeat that was just being sent. */
const ORDER_MS = 250;
const READ_EVERY_MS = 15;
/** All reads of this long after the lease is over are looked at. */
const WATCHED_MS = 500;
const TRUSTED = { timeoutMs: 90_000, says: 'readers trust the cache' };

type Break = { heal(): Promise<unknown> };
type Read = { startedMs: number; status: CacheStatus };

/** G7 from where readers stand: what they are answered from, from the moment in which something breaks. */
describe('readers stop trusting the cache within 3 s', () => {
  let postgres: TestPostgres;
  let redisServer: TestRedis;
  let admin: pg.Client;
  let world: World;
  let account: number;
  let wires: { redis: Link; postgres: Link };
  let replicator: RunningRole;
  let hasEnded = false;
  let redis: Redis;
  let reader: CacheReader;
  const figures: string[] = [];

  beforeAll(async () => {
    [postgres, redisServer] = await Promise.all([startPostgres(), startRedis()]);
    admin = await connect(postgres.url);
    world = await createWorld(await postgres.createDatabase(), redisServer.url);
    account = await world.createAccount('acme');
    wires = { redis: await openLink(redisServer.port), postgres: await openLink(postgres.port) };
    await start();
    redis = createRedis({ url: redisServer.url, name: 'test', log }) as Redis;
    await redis.connect();
    const space = { prefix: world.config.redisPrefix };
    reader = new CacheReader({ redis, space, log, metrics: createMetrics('test') });
  });
  afterAll(async () => {
    process.stdout.write(`readers trusted the cache after the break for\n${figures.join('\n')}\n`);
    await setStandby(admin, '');
    await replicator.stop();
    redis.disconnect();
    await world.close();
    await Promise.all([wires.redis.close(), wires.postgres.close(), redisServer.stop()]);
    await admin.end();
    await postgres.remove();
  });

  async function start(): Promise<void> {
    hasEnded = false;
    replicator = await spawnRole(
      'replicator',
      {
        DATABASE_URL: world.database.url,
        REPLICATION_DATABASE_URL: wires.postgres.urlOf(world.database.replicationUrl),
        REDIS_URL: wires.redis.urlOf(redisServer.url),
        CLARIN_REDIS_PREFIX: world.config.redisPrefix,
        CLARIN_SECRET: 'stack-tests-'.repeat(4),
        LOG_LEVEL: 'warn',
      },
      { until: 'nothing' },
    );
    void replicator.exited.then(() => (hasEnded = true));
  }

  const read = async (): Promise<Read> => {
    const startedMs = performance.now();
    const place = { accountId: account, family: 'tags.list', field: 'all' };
    const { status } = await reader.readThrough({ ...place, load: async () => '[]' });
    return { startedMs, status };
  };
  /** One that was cut off may have ended, to be started again by whoever watches it: here, by us. */
  const isTrusted = async (): Promise<boolean> => {
    if (hasEnded) await start();
    return (await read()).status === 'hit';
  };

  /** Reads without pause from before the break until well behind the lease. @returns ms from the break to the last trust. */
  async function trustAfter(breakIt: () => Promise<Break>): Promise<number> {
    await eventually(isTrusted, TRUSTED);
    const reads: Promise<Read>[] = [];
    const timer = setInterval(() => reads.push(read()), READ_EVERY_MS);
    const broken = await breakIt();
    const brokenMs = performance.now();
    const untilMs = brokenMs + PROMISED_MS + ORDER_MS + WATCHED_MS;
    await eventually(() => performance.now() > untilMs, { timeoutMs: 60_000 });
    clearInterval(timer);
    const done = await Promise.all(reads);
    await broken.heal();
    const behind = done.filter(({ startedMs }) => startedMs > brokenMs + PROMISED_MS + ORDER_MS);
    expect(behind.length).toBeGreaterThan(0);
    expect(behind.filter(({ status }) => status !== 'bypass')).toEqual([]);
    const trusted = done.filter(({ status }) => status !== 'bypass');
    return Math.max(0, ...trusted.map(({ startedMs }) => startedMs - brokenMs));
  }

  it.each<[name: string, breakIt: () => Promise<Break>]>([
    [
      'the replicator is stopped',
      async () => {
        replicator.kill('SIGSTOP');
        return { heal: async () => replicator.kill('SIGCONT') };
      },
    ],
    [
      'a commit that is in the WAL does not become visible',
      async () => {
        const { done, client } = await commitInvisibly(admin, world.database.ownerUrl, (writer) =>
          insertTag(writer, account, 'late'),
        );
        const heal = async () => {
          await setStandby(admin, '');
          await done;
          await client.end();
        };
        return { heal };
      },
    ],
    [
      'the replicator is cut off from Redis, and its connections say nothing of it',
      async () => {
        wires.redis.darken();
        return { heal: async () => wires.redis.heal() };
      },
    ],
    [
      'the replicator is cut off from Postgres, and its connections say nothing of it',
      async () => {
        wires.postgres.darken();
        return { heal: async () => wires.postgres.heal() };
      },
    ],
    [
      'the replicator is killed',
      async () => {
        replicator.kill('SIGKILL');
        return { heal: () => replicator.exited };
      },
    ],
  ])('[C8] when %s', async (name, breakIt) => {
    figures.push(`${Math.round(await trustAfter(breakIt))} ms: ${name}`);
  });
});
