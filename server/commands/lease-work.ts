import { announcementOf, type Origin, type Queries } from '../../platform/postgres.ts';
import { empty, sql, type Sql } from '../../platform/sql.ts';

/**
 * Work that is with one process at a time: a connection to Kommo, a WhatsApp device. A worker is a row that it keeps
 * alive; a lease is a row that names its worker. A worker that no longer keeps itself alive has lost its leases all at
 * once, without anybody touching them. `fence` counts the owners of a lease: who writes with an older one is late, and
 * is refused.
 *
 * All times are the database's: no two processes need to agree on a clock.
 */
export type Lease = {
  /** `kommo:<connection>`, `whatsapp:<device>`. */
  readonly resource: string;
  /** A uuid, one for each life of a worker. */
  readonly owner: string;
  readonly fence: number;
};

/** What there is to share out of one kind, and how many share it. */
export type Shares = {
  readonly total: number;
  /** Workers that are alive. */
  readonly workers: number;
  readonly mine: readonly Lease[];
};

/** Keeps the worker alive for `ttlMs` from now on. */
export async function beatWorker(db: Queries, worker: string, ttlMs: number): Promise<void> {
  await db.query(sql`
    insert into private.ingest_workers (id, expires_at)
    values (${worker}, clock_timestamp() + make_interval(secs => ${ttlMs / 1_000}::float8))
    on conflict (id) do update set expires_at = excluded.expires_at`);
}

/** The worker is no more, and what it had is free at once. Its row goes by one transaction with its leases. */
export async function endWorker(db: Queries, worker: string): Promise<void> {
  await db.query(sql`
    with freed as (
      update private.ingest_leases set owner = null where owner = ${worker}
    )
    delete from private.ingest_workers where id = ${worker}`);
}

/**
 * One lease for each of `wanted` (a statement that gives resources of the kind, in one column), and no others of the kind.
 * Writes nothing when that is so already. A lease that comes again goes on counting from the clock: no fence comes twice.
 */
export async function alignLeases(db: Queries, kind: string, wanted: Sql): Promise<void> {
  await db.query(sql`
    insert into private.ingest_leases (resource, fence)
    select wanted.resource, (extract(epoch from clock_timestamp()) * 1000)::bigint
    from (${wanted}) as wanted (resource)
    where not exists (
      select from private.ingest_leases as lease where lease.resource = wanted.resource
    )
    on conflict (resource) do nothing`);
  await db.query(sql`
    delete from private.ingest_leases as lease
    where starts_with(lease.resource, ${`${kind}:`}) and not exists (
      select from (${wanted}) as wanted (resource) where wanted.resource = lease.resource
    )`);
  // Of workers that were killed.
  await db.query(sql`
    delete from private.ingest_workers where expires_at < clock_timestamp() - interval '1 hour'`);
}

/** How the leases of a kind are shared now. */
export async function readShares(db: Queries, worker: string, kind: string): Promise<Shares> {
  const rows = await db.query(sql`
    select lease.resource, lease.fence, lease.owner = ${worker} as is_mine,
      (select count(*) from private.ingest_workers where expires_at > clock_timestamp()) as workers
    from private.ingest_leases as lease
    where starts_with(lease.resource, ${`${kind}:`})`);
  return {
    total: rows.length,
    workers: Number(rows[0]?.['workers'] ?? 0),
    mine: rows.flatMap((row) =>
      row['is_mine'] === 't'
        ? [{ resource: row['resource'] ?? '', owner: worker, fence: Number(row['fence']) }]
        : [],
    ),
  };
}

/**
 * Takes up to `max` leases of the kind that no living worker has; a worker that is not alive itself gets none. Leases
 * whose owner is in the middle of a transaction are passed over: it ends before anybody else begins.
 */
export async function claimLeases(
  db: Queries,
  worker: string,
  { kind, max }: { kind: string; max: number },
): Promise<Lease[]> {
  const rows = await db.query(sql`
    with free as materialized (
      select lease.resource
      from private.ingest_leases as lease
      where starts_with(lease.resource, ${`${kind}:`})
        and (lease.owner is null or not exists (
          select from private.ingest_workers as worker
          where worker.id = lease.owner and worker.expires_at > clock_timestamp()
        ))
        and exists (
          select from private.ingest_workers as worker
          where worker.id = ${worker} and worker.expires_at > clock_timestamp()
        )
      order by random()
      limit ${max}
      for update of lease skip locked
    )
    update private.ingest_leases as lease
    set owner = ${worker}, fence = lease.fence + 1
    from free
    where lease.resource = free.resource
    returning lease.resource, lease.fence`);
  return rows.map((row) => ({
    resource: row['resource'] ?? '',
    owner: worker,
    fence: Number(row['fence']),
  }));
}

/** Gives a lease back, if it is still ours. */
export async function releaseLease(db: Queries, { resource, owner, fence }: Lease): Promise<void> {
  await db.query(sql`
    update private.ingest_leases
    set owner = null
    where resource = ${resource} and owner = ${owner} and fence = ${fence}`);
}

/**
 * The first statement of every transaction that writes by virtue of a lease. `held`: until the transaction ends nobody
 * else can take it. `lost`: somebody has taken it, or it is no longer there; nothing may be written. `origin`: where the
 * transaction comes from, said with it.
 */
export async function holdLease(
  tx: Queries,
  { resource, owner, fence }: Lease,
  origin?: Origin,
): Promise<'held' | 'lost'> {
  // Whoever claims, or removes, locks the row for update: this is the weakest lock that stands in the way of it.
  // https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS
  const rows = await tx.query(sql`
    select resource${origin ? sql`, ${announcementOf(origin)}` : empty}
    from private.ingest_leases
    where resource = ${resource} and owner = ${owner} and fence = ${fence}
    for key share`);
  return rows.length > 0 ? 'held' : 'lost';
}
