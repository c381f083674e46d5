import { allFamilies } from '../../domain/cache-key.ts';
import type { CacheInspector } from '../../platform/cache/inspect.ts';
import type { CacheReader } from '../../platform/cache/reader.ts';
import { startRounds, type Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';
import { verifyEntry, type Verdict } from './verify-entries.ts';

export type VerifyMeans = {
  readonly database: Database;
  readonly cache: CacheReader;
  readonly inspector: CacheInspector;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** A look at a few entries this often: a handful of cheap queries, for as long as the process lives. */
const ROUND_MS = 10_000;
const ACCOUNTS_PER_ROUND = 3;
const ENTRIES_PER_FAMILY = 1;

/** Compares a few cached entries, chosen at random, with Postgres again and again. */
export function startSampler(means: VerifyMeans): Running {
  return startRounds({
    everyMs: ROUND_MS,
    round: (signal) => sampleOnce(means, signal),
    // Redis or Postgres is away: their own health checks say so.
    onError: (error) => means.log.debug({ error }, 'a sample of the cache could not be taken'),
  });
}

/** One round. Gives how many entries were compared. */
export async function sampleOnce(means: VerifyMeans, signal?: AbortSignal): Promise<number> {
  const { cache, inspector } = means;
  const epoch = (await cache.isLive()) ? await inspector.readEpochId() : undefined;
  if (epoch === undefined) return 0;
  let compared = 0;
  for (const accountId of await inspector.sampleAccounts(epoch, ACCOUNTS_PER_ROUND)) {
    for (const family of allFamilies()) {
      for (const field of await inspector.sampleFields(
        accountId,
        epoch,
        family,
        ENTRIES_PER_FAMILY,
      )) {
        const entry = { accountId, family, field };
        recordVerdict(means, entry, await verifyEntry({ ...means, signal }, epoch, entry));
        compared++;
      }
    }
  }
  return compared;
}

export function recordVerdict(
  { log, metrics }: Pick<VerifyMeans, 'log' | 'metrics'>,
  entry: { accountId: number; family: string; field: string },
  verdict: Verdict,
): void {
  if (verdict === 'unjudged') return;
  metrics.cacheVerified.inc();
  if (verdict === 'coherent') return;
  metrics.cacheIncoherent.inc();
  const { accountId, family, field } = entry;
  log.error(
    { account: accountId, family, field: nameOf(field) },
    'a cached entry is not what Postgres says',
  );
}

/** What somebody searched for is a name or a number of a person. */
function nameOf(field: string): string {
  return field.replaceAll(/\bsearch=[^&]*/g, 'search=*');
}
