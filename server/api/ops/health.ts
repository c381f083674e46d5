import { Cluster } from 'ioredis';
import { judgeHealth, type Health, type HealthCheck } from '../../../platform/health.ts';
import { judgeSlot, readSlot } from '../../../platform/replication-slot.ts';
import type { Database } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import type { CacheReader } from '../../../platform/cache/reader.ts';
import { infoOfMasters } from '../../../platform/redis-cluster.ts';
import type { RedisClient } from '../../../platform/redis.ts';

/** A check that takes longer than this has failed. */
const CHECK_MS_MAX = 2_000;

/** Names and sentences only: anybody may read them. */
export async function checkHealth(of: {
  database: Database;
  cache: CacheReader;
  redis: RedisClient | undefined;
  slot: string;
}): Promise<Health> {
  const { database, cache, redis, slot } = of;
  const checks = await Promise.all([
    checkDatabase(database),
    bounded('redis', async () => {
      if (!redis) return { name: 'redis', ok: true, says: 'not asked' };
      await (redis instanceof Cluster ? infoOfMasters(redis) : redis.ping());
      return { name: 'redis', ok: true, says: 'answers' };
    }),
    bounded('slot', async () => judgeSlot(await readSlot(database, slot))),
    bounded('heartbeat', async () => judgeLease(await cache.isLive())),
  ]);
  return judgeHealth(checks);
}

export function checkDatabase(database: Database): Promise<HealthCheck> {
  return bounded('database', async () => {
    await database.query(sql`select 1 as one`);
    const { waiting } = database.stats();
    return {
      name: 'database',
      ok: true,
      says: waiting === 0 ? 'answers' : `answers; ${waiting} requests wait for a connection`,
    };
  });
}

/** Pure: what the liveness lease means, in words. */
function judgeLease(isLive: boolean): HealthCheck {
  const says = isLive
    ? 'heartbeats come back through the WAL'
    : 'no heartbeat has come back for 3 s: is the replicator running? Reads bypass the cache until it is';
  return { name: 'heartbeat', ok: isLive, says };
}

/** Never throws and never hangs; says no more of an error than that there was one. */
async function bounded(name: string, check: () => Promise<HealthCheck>): Promise<HealthCheck> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<HealthCheck>((resolve) => {
    timer = setTimeout(
      () => resolve({ name, ok: false, says: 'does not answer in time' }),
      CHECK_MS_MAX,
    );
  });
  try {
    return await Promise.race([
      check().catch(() => ({ name, ok: false, says: 'is not reachable' })),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
