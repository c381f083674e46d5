import { parseLsn, type Lsn } from '../domain/lsn.ts';
import type { HealthCheck } from './health.ts';
import type { Queries } from './postgres.ts';
import { sql } from './sql.ts';

/**
 * A row of pg_replication_slots, with the walsender's spill statistics. Which columns there are differs between Postgres 15 and
 * 18: `invalidation_reason` came with 17, so what is not there is undefined.
 * https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 */
export type SlotStatus = {
  readonly name: string;
  readonly plugin: string;
  readonly database: string;
  readonly active: boolean;
  readonly activePid: number | undefined;
  /** reserved, extended, unreserved, lost; undefined when the server says nothing. */
  readonly walStatus: string | undefined;
  readonly restartLsn: Lsn | undefined;
  readonly confirmedFlushLsn: Lsn | undefined;
  readonly currentLsn: Lsn;
  /** WAL kept because of the slot. */
  readonly retainedBytes: number;
  /** WAL that may still be written before the slot is lost; null without a budget (max_slot_wal_keep_size). */
  readonly safeWalBytes: number | null;
  readonly invalidationReason: string | undefined;
  readonly spill: { readonly transactions: number; readonly count: number; readonly bytes: number };
  readonly total: { readonly transactions: number; readonly bytes: number };
};

/** Undefined when there is no such slot. @throws ClarinError. */
export async function readSlot(db: Queries, slot: string): Promise<SlotStatus | undefined> {
  const [row] = await db.query(sql`
    select slots.slot_name as name, slots.plugin, slots.database, slots.active, slots.active_pid,
           slots.wal_status, slots.restart_lsn, slots.confirmed_flush_lsn, slots.safe_wal_size,
           to_jsonb(slots) ->> 'invalidation_reason' as invalidation_reason,
           pg_current_wal_lsn() as current_lsn,
           greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), slots.restart_lsn)) as retained_bytes,
           stats.spill_txns, stats.spill_count, stats.spill_bytes, stats.total_txns, stats.total_bytes
    from pg_replication_slots as slots
    left join pg_stat_replication_slots as stats on stats.slot_name = slots.slot_name
    where slots.slot_name = ${slot}`);
  if (!row) return undefined;
  const lsn = (name: string): Lsn | undefined => {
    const text = row[name];
    return typeof text === 'string' ? parseLsn(text) : undefined;
  };
  const present = (name: string): string | undefined => row[name] ?? undefined;
  const number = (name: string): number => Number(row[name] ?? 0);
  return {
    name: row['name'] ?? slot,
    plugin: row['plugin'] ?? '',
    database: row['database'] ?? '',
    active: row['active'] === 't',
    activePid: present('active_pid') === undefined ? undefined : number('active_pid'),
    walStatus: present('wal_status'),
    restartLsn: lsn('restart_lsn'),
    confirmedFlushLsn: lsn('confirmed_flush_lsn'),
    currentLsn: lsn('current_lsn') ?? (0n as Lsn),
    retainedBytes: number('retained_bytes'),
    safeWalBytes: present('safe_wal_size') === undefined ? null : number('safe_wal_size'),
    invalidationReason: present('invalidation_reason'),
    spill: {
      transactions: number('spill_txns'),
      count: number('spill_count'),
      bytes: number('spill_bytes'),
    },
    total: { transactions: number('total_txns'), bytes: number('total_bytes') },
  };
}

/**
 * Pure: true when the slot can never be read again. 15 and 16 say so by wal_status and a missing restart_lsn, 17 and 18 by
 * invalidation_reason too (wal_removed, rows_removed, wal_level_insufficient, idle_timeout).
 */
export function isSlotLost(status: SlotStatus): boolean {
  return (
    status.walStatus === 'lost' ||
    status.invalidationReason !== undefined ||
    status.restartLsn === undefined
  );
}

/** Pure: the slot in words for an operator. */
export function judgeSlot(status: SlotStatus | undefined): HealthCheck {
  const check = (ok: boolean, says: string): HealthCheck => ({ name: 'slot', ok, says });
  if (!status) return check(false, 'there is no replication slot; a leading replicator makes one');
  const kept = `${formatBytes(status.retainedBytes)} of WAL kept`;
  if (isSlotLost(status)) {
    const why = status.invalidationReason ?? status.walStatus ?? 'no restart_lsn';
    return check(
      false,
      `the slot is lost (${why}); the leading replicator replaces it and clients resync`,
    );
  }
  if (status.walStatus === 'unreserved') {
    return check(
      false,
      `the slot is about to be lost: its WAL may go at the next checkpoint (${kept})`,
    );
  }
  if (!status.active)
    return check(false, `nobody reads the slot (${kept}); is a replicator running?`);
  const budget =
    status.safeWalBytes === null
      ? 'no budget'
      : `${formatBytes(status.safeWalBytes)} left of the budget`;
  return check(true, `read by process ${status.activePid ?? '?'}, ${kept}, ${budget}`);
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
