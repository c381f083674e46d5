import { afterAll } from 'vitest';
import type { Lsn } from '../../domain/lsn.ts';
import { mustParseLsn } from '../../domain/lsn.ts';
import { ControlStore } from '../../platform/cache/control.ts';
import type { Epoch, Invalidation } from '../../platform/cache/types.ts';
import { CacheWriter } from '../../platform/cache/writer.ts';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import type { Queries } from '../../platform/postgres.ts';
import { createRedis, type RedisClient } from '../../platform/redis.ts';
import { sql } from '../../platform/sql.ts';

/** Stands in for the replicator where a test decides itself when its half of the cache moves. */
export type LiveCache = {
  readonly epoch: Epoch;
  readonly redis: RedisClient;
  /** What the replicator does with a commit: invalidates, raises the account's watermark. */
  invalidate(
    accountId: number,
    families: Readonly<Record<string, readonly string[] | 'all'>>,
  ): Promise<void>;
  /** The global position passes everything committed so far. */
  advance(): Promise<void>;
  /** Stops the heartbeats and waits until the lease is gone. */
  die(): Promise<void>;
};

const RENEW_MS = 500;

/** An epoch with a living lease, until the test file ends. */
export async function openLiveCache(db: Queries, url: string, prefix: string): Promise<LiveCache> {
  const log = createLog({ component: 'cache', level: 'silent' });
  const redis = createRedis({ url, name: 'test-live', log });
  await redis.connect();
  const space = { prefix };
  const control = new ControlStore({ redis, space, log });
  const writer = new CacheWriter({ redis, space, metrics: createMetrics('test-live') });
  const term = await control.raiseTerm();
  const identity = { systemId: '1', timeline: 1, slot: 'test', publication: 'test' };
  const epoch = await control.openEpoch({ term, base: await readLsn(db), identity });
  const beat = async (): Promise<void> => {
    await control.renewLease({ term, epoch, sentAtMs: await control.redisTimeMs() });
  };
  await beat();
  const timer = setInterval(() => void beat().catch(() => undefined), RENEW_MS);
  const end = (): void => clearInterval(timer);
  afterAll(() => {
    end();
    redis.disconnect();
  });
  const advance = async (): Promise<void> =>
    control.advance({ term, epoch, position: await readLsn(db) });
  return {
    epoch,
    redis,
    advance,
    invalidate: async (accountId, families) => {
      const lsn = await readLsn(db);
      const invalidations: Invalidation[] = Object.entries(families).map(([family, ids]) => ({
        family,
        lsn,
        ids,
      }));
      const commit = {
        accountId,
        lsn,
        xid: 1,
        at: new Date().toISOString(),
        origin: undefined,
        changes: [],
        signals: [],
      };
      await writer.apply({
        term,
        epoch,
        shares: [{ accountId, commits: [commit], invalidations }],
      });
      await advance();
    },
    die: async () => {
      end();
      await redis.del(`${prefix}:{control}:live`);
    },
  };
}

async function readLsn(db: Queries): Promise<Lsn> {
  // Something of our own in the WAL: each call gives a newer LSN.
  const [row] = await db.query(sql`select pg_logical_emit_message(false, 'test', 'test') as lsn`);
  return mustParseLsn(row?.['lsn'] ?? '0/0');
}
