import type { Lsn } from '../../domain/lsn.ts';
import { mustParseLsn } from '../../domain/lsn.ts';
import type { CacheInspector } from '../../platform/cache/inspect.ts';
import type { CacheReader } from '../../platform/cache/reader.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadEntry } from './rest/loaders.ts';

export type EntryName = {
  readonly accountId: number;
  readonly family: string;
  readonly field: string;
};

/**
 * `coherent`: the entry is what Postgres says, or it went while it was looked at. `incoherent`: never. `unjudged`:
 * no replicator is live, so nobody promises anything.
 */
export type Verdict = 'coherent' | 'incoherent' | 'unjudged';

type Means = {
  readonly database: Queries;
  readonly cache: Pick<CacheReader, 'position'>;
  readonly inspector: Pick<CacheInspector, 'readEntry'>;
  readonly signal?: AbortSignal | undefined;
};

/** How long the replicator may take to pass a commit before there is no verdict. */
const POSITION_MS_MAX = 10_000;
const POLL_MS = 50;
/** Looks at an entry that is invalidated each time while it is looked at. */
const LOOKS = 3;

/**
 * Compares an entry with Postgres. Between a commit and its invalidation an entry is rightly old, so a difference counts
 * only when the global position has passed the LSN at which Postgres was read, and the same bytes are still there, and no
 * invalidation has reached the entry since they were first seen: then everything that Postgres showed was in them, or
 * should have been. Bytes alone would not do: what goes to and fro comes back to them rightly.
 */
export async function verifyEntry(means: Means, epoch: string, name: EntryName): Promise<Verdict> {
  const { accountId, family, field } = name;
  const readCached = () => means.inspector.readEntry(accountId, epoch, family, field);
  let cached = await readCached();
  for (let look = 1; look <= LOOKS && cached !== undefined; look++) {
    const { body, lsn } = await readPostgres(means.database, name);
    if (body === undefined || body === cached.body) return 'coherent';
    if (!(await isPassed(means, epoch, lsn))) return 'unjudged';
    const now = await readCached();
    if (now?.body === cached.body && now.touched === cached.touched) return 'incoherent';
    cached = now;
  }
  return 'coherent';
}

/** The body as it should be, and an LSN at or behind every commit it shows. */
async function readPostgres(
  database: Queries,
  name: EntryName,
): Promise<{ body: string | undefined; lsn: Lsn }> {
  const body = await loadEntry(database, name);
  const rows = await database.query(sql`select pg_current_wal_insert_lsn() as lsn`);
  return { body, lsn: mustParseLsn(rows[0]?.['lsn'] ?? '0/0') };
}

async function isPassed(means: Means, epoch: string, lsn: Lsn): Promise<boolean> {
  const { cache, signal } = means;
  for (let waitedMs = 0; waitedMs < POSITION_MS_MAX; waitedMs += POLL_MS) {
    const position = await cache.position();
    if (!position || position.epoch !== epoch) return false;
    if (position.lsn >= lsn) return true;
    await sleep(POLL_MS, undefined, { signal });
  }
  return false;
}
