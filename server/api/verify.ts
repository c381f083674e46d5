import { allFamilies } from '../../domain/cache-key.ts';
import { ClarinError } from '../../domain/errors.ts';
import { CacheInspector } from '../../platform/cache/inspect.ts';
import { CacheReader } from '../../platform/cache/reader.ts';
import type { Config } from '../../platform/config.ts';
import type { Log } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase } from '../../platform/postgres.ts';
import { createRedis } from '../../platform/redis.ts';
import { assertDatabaseFits, hostOf } from '../start-checks.ts';
import { recordVerdict, type VerifyMeans } from './sampler.ts';
import { verifyEntry, type Verdict } from './verify-entries.ts';

/** Entries compared at once. */
const CONCURRENCY = 4;

/**
 * `clarin verify [account id...]`: compares every cached entry (of these accounts) with Postgres. Exit code 0: all
 * are what they should be; 1: some are not; 75: no replicator is live, so nothing could be judged.
 */
export async function runVerify(
  config: Config,
  log: Log,
  words: readonly string[],
): Promise<number> {
  const wanted = words.map(Number);
  if (wanted.some((id) => !Number.isSafeInteger(id) || id <= 0)) {
    throw new ClarinError('configuration', 'usage: clarin verify [account id...]');
  }
  const metrics = createMetrics('verify');
  const database = createDatabase({
    url: config.databaseUrl,
    applicationName: 'clarin verify',
    max: CONCURRENCY,
    statementTimeoutMs: config.statementTimeoutMs,
    log,
  });
  const redis = createRedis({ url: config.redisUrl, name: 'clarin-verify', log });
  const space = { prefix: config.redisPrefix };
  const cache = new CacheReader({ redis, space, log, metrics });
  try {
    await assertDatabaseFits(database, config.databaseUrl);
    await redis.connect().catch((error: unknown) => {
      throw new ClarinError(
        'configuration',
        `Redis at ${hostOf(config.redisUrl)} is not reachable.`,
        { cause: error },
      );
    });
    const inspector = new CacheInspector({ redis, space });
    const counts = await verifyAll({ database, cache, inspector, log, metrics }, wanted);
    log.info(counts, 'cache compared with Postgres');
    if (counts.incoherent > 0) return 1;
    return counts.unjudged > 0 ? 75 : 0;
  } finally {
    redis.disconnect();
    await database.close();
  }
}

/** Compares everything there is in the current epoch. Accounts are known by a set, families by name: nothing is scanned. */
export async function verifyAll(
  means: VerifyMeans,
  wanted: readonly number[] = [],
): Promise<Record<Verdict, number>> {
  const counts: Record<Verdict, number> = { coherent: 0, incoherent: 0, unjudged: 0 };
  const epoch = await means.inspector.readEpochId();
  if (epoch === undefined) return counts;
  const accounts = wanted.length > 0 ? wanted : await means.inspector.readAccounts(epoch);
  for (const accountId of accounts) {
    for (const family of allFamilies()) {
      const fields = await means.inspector.readFields(accountId, epoch, family);
      await eachAtOnce(fields, async (field) => {
        const entry = { accountId, family, field };
        const verdict = await verifyEntry(means, epoch, entry);
        recordVerdict(means, entry, verdict);
        counts[verdict]++;
      });
    }
  }
  return counts;
}

/** Works through a queue with CONCURRENCY hands. */
async function eachAtOnce(
  queue: readonly string[],
  work: (item: string) => Promise<void>,
): Promise<void> {
  const rest = queue.values();
  const hand = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, hand));
}
