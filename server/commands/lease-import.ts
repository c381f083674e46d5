import type { Mapping } from '../../platform/csv/mapping.ts';
import type { CsvEncoding } from '../../platform/csv/encoding.ts';
import type { CsvSeparator } from '../../platform/csv/record-parser.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/**
 * Which worker is at an import. A lease is a row with a time: whoever holds it prolongs it with every batch, and
 * when the time is over anybody may take it. A worker that was only slow finds out at its next batch, before it writes:
 * each of its transactions begins by locking the import and its own lease.
 *
 * Locks are taken in one order, the import first: the same as whoever claims or cancels it.
 */
const LEASE_SECONDS = 15;

/** An import that this worker is at, as it was when it was claimed. */
export type ClaimedImport = {
  readonly id: number;
  readonly accountId: number;
  readonly worker: string;
  readonly objectKey: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly encoding: CsvEncoding;
  readonly separator: CsvSeparator;
  readonly mapping: Mapping;
  readonly country: string;
  readonly isDryRun: boolean;
  /** Rows that are settled already. */
  readonly processedCount: number;
  readonly actorId: number | undefined;
};

/** Takes the oldest import that nobody is at; undefined when there is none. `worker` is a name no other has. */
export async function claimImport(tx: Queries, worker: string): Promise<ClaimedImport | undefined> {
  const [lease] = await tx.query(sql`
    with open as (
      select import.id
      from public.imports as import
      where import.state in ('pending', 'running') and not exists (
        select from private.import_leases as lease
        where lease.import_id = import.id and lease.expires_at > clock_timestamp()
      )
      order by import.id
      limit 1
      for no key update of import skip locked
    )
    insert into private.import_leases as lease (import_id, worker, expires_at)
    select open.id, ${worker}, clock_timestamp() + make_interval(secs => ${LEASE_SECONDS})
    from open
    on conflict (import_id) do update
      set worker = excluded.worker, expires_at = excluded.expires_at
      where lease.expires_at <= clock_timestamp()
    returning import_id`);
  if (!lease) return undefined;
  const id = Number(lease['import_id']);
  await tx.query(sql`
    update public.imports
    set state = 'running', started_at = clock_timestamp()
    where id = ${id} and state = 'pending'`);
  const [row] = await tx.query(sql`
    select import.account_id, import.object_key, import.size, import.encoding, import.separator, import.mapping,
      import.is_dry_run, import.processed_count, import.created_by,
      coalesce(import.country, account.default_country) as country
    from public.imports as import
    join public.accounts as account on account.id = import.account_id
    where import.id = ${id}`);
  if (!row) return undefined;
  return {
    id,
    worker,
    accountId: Number(row['account_id']),
    objectKey: row['object_key'] ?? '',
    size: Number(row['size']),
    encoding: row['encoding'] as CsvEncoding,
    separator: row['separator'] as CsvSeparator,
    // Checked before it was written.
    mapping: JSON.parse(row['mapping'] ?? '{}') as Mapping,
    country: row['country'] ?? '',
    isDryRun: row['is_dry_run'] === 't',
    processedCount: Number(row['processed_count']),
    actorId: row['created_by'] === null ? undefined : Number(row['created_by']),
  };
}

/**
 * `mine`: go on, until the transaction ends nobody else can. `over`: it was cancelled. `lost`: another worker has it,
 * or it is gone with its account.
 */
export type Hold = 'mine' | 'over' | 'lost';

/** Locks the import for the transaction and prolongs the lease. */
export async function holdImport(tx: Queries, claimed: ClaimedImport): Promise<Hold> {
  const [row] = await tx.query(sql`
    with held as materialized (
      select id, state
      from public.imports
      where account_id = ${claimed.accountId} and id = ${claimed.id}
      for no key update
    ),
    prolonged as (
      update private.import_leases as lease
      set expires_at = clock_timestamp() + make_interval(secs => ${LEASE_SECONDS})
      from held
      where lease.import_id = held.id and lease.worker = ${claimed.worker}
      returning lease.import_id
    )
    select held.state, exists (select from prolonged) as is_mine
    from held`);
  if (row?.['is_mine'] !== 't') return 'lost';
  return row['state'] === 'running' ? 'mine' : 'over';
}

/** Lets another worker take it, after a while: now when this one stops, later when a service is away. */
export async function releaseImport(
  db: Queries,
  claimed: ClaimedImport,
  afterSeconds: number,
): Promise<void> {
  await db.query(sql`
    update private.import_leases
    set expires_at = clock_timestamp() + make_interval(secs => ${afterSeconds})
    where import_id = ${claimed.id} and worker = ${claimed.worker}`);
}

/** Notes that the file can go from the store; a worker removes it when this is committed. */
export async function removeFile(tx: Queries, accountId: number, objectKey: string): Promise<void> {
  await tx.query(sql`
    insert into private.media_removals (account_id, object_key) values (${accountId}, ${objectKey})`);
}
