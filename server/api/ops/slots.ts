import { formatLsn, type Lsn } from '../../../domain/lsn.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { judgeSlot, readSlot, type SlotStatus } from '../../../platform/replication-slot.ts';
import { sql } from '../../../platform/sql.ts';

type Sample = { readonly atMs: number; readonly lsn: Lsn };

/** The rate is taken over at most this long, and not over less than the second. */
const WINDOW_MS = 10 * 60_000;
const WINDOW_MS_MIN = 1_000;

/** Remembers where the WAL was, so that a page can say how fast it grows. In this process only. */
export class WalRate {
  readonly #samples: Sample[] = [];

  /** Bytes of WAL per second since the oldest remembered look; undefined at the first one. */
  measure(sample: Sample): number | undefined {
    while (this.#samples[0] && sample.atMs - this.#samples[0].atMs > WINDOW_MS)
      this.#samples.shift();
    const oldest = this.#samples[0];
    const newest = this.#samples.at(-1);
    if (!newest || sample.atMs - newest.atMs >= WINDOW_MS_MIN) this.#samples.push(sample);
    if (!oldest || sample.atMs - oldest.atMs < WINDOW_MS_MIN) return undefined;
    return Number(sample.lsn - oldest.lsn) / ((sample.atMs - oldest.atMs) / 1_000);
  }
}

/** Pure: seconds until the WAL budget is spent at this rate; undefined without a budget or a rate. */
export function secondsOfBudget(
  safeWalBytes: number | null,
  bytesPerSecond: number | undefined,
): number | undefined {
  if (safeWalBytes === null || bytesPerSecond === undefined || bytesPerSecond <= 0)
    return undefined;
  return Math.floor(safeWalBytes / bytesPerSecond);
}

/** The slot page: one row per slot of ours in this database, with a sentence. */
export async function describeSlots(
  db: Queries,
  options: { slot: string; rate: WalRate; nowMs: number; isLive: boolean },
): Promise<Record<string, unknown>[]> {
  const status = await readSlot(db, options.slot);
  const { ok, says } = judgeSlot(status);
  if (!status) return [{ name: options.slot, ok, says }];
  const bytesPerSecond = options.rate.measure({ atMs: options.nowMs, lsn: status.currentLsn });
  const holder =
    status.activePid === undefined ? undefined : await readHolder(db, status.activePid);
  return [
    {
      ...describe(status, bytesPerSecond),
      ok,
      says,
      is_feed_live: options.isLive,
      ...(holder && { holder }),
    },
  ];
}

function describe(status: SlotStatus, bytesPerSecond: number | undefined): Record<string, unknown> {
  const seconds = secondsOfBudget(status.safeWalBytes, bytesPerSecond);
  return {
    name: status.name,
    plugin: status.plugin,
    database: status.database,
    active: status.active,
    active_pid: status.activePid,
    wal_status: status.walStatus,
    invalidation_reason: status.invalidationReason,
    retained_bytes: status.retainedBytes,
    safe_wal_size: status.safeWalBytes,
    wal_bytes_per_second: bytesPerSecond === undefined ? undefined : Math.round(bytesPerSecond),
    budget_seconds: seconds,
    current_lsn: formatLsn(status.currentLsn),
    confirmed_flush_lsn:
      status.confirmedFlushLsn === undefined ? undefined : formatLsn(status.confirmedFlushLsn),
    restart_lsn: status.restartLsn === undefined ? undefined : formatLsn(status.restartLsn),
    confirmed_lag_bytes:
      status.confirmedFlushLsn === undefined
        ? undefined
        : Number(status.currentLsn - status.confirmedFlushLsn),
    spill: status.spill,
    total: status.total,
  };
}

/** Who reads the slot. https://www.postgresql.org/docs/current/monitoring-stats.html */
async function readHolder(db: Queries, pid: number): Promise<Record<string, unknown> | undefined> {
  const [row] = await db.query(sql`
    select application_name, client_addr, state, backend_start, sent_lsn, flush_lsn,
      extract(epoch from flush_lag) as flush_lag_seconds
    from pg_stat_replication
    where pid = ${pid}`);
  if (!row) return undefined;
  return {
    application_name: row['application_name'],
    address: row['client_addr'],
    state: row['state'],
    since: row['backend_start'],
    sent_lsn: row['sent_lsn'],
    flush_lsn: row['flush_lsn'],
    flush_lag_seconds: row['flush_lag_seconds'] === null ? null : Number(row['flush_lag_seconds']),
  };
}
