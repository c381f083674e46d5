import { startRounds, type Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

/** Rows removed by one transaction: small ones, so that neither locks nor the feed's commits grow. */
const BATCH_ROWS = 500;
/** Between two looks. What is purged is days old: minutes do not matter. */
const ROUND_MS = 10 * 60_000;
/** Key of the advisory lock that makes workers take turns; any number that nothing else uses. */
const PURGE_LOCK = 7_203_001;

type Purge = { readonly table: string; readonly says: string; readonly statement: Sql };

/** Everything whose time is over. Each statement removes at most one batch. */
export const PURGES: readonly Purge[] = [
  {
    table: 'idempotency_keys',
    says: 'keys older than a day',
    statement: sql`
      delete from private.idempotency_keys as known
      using (
        select account_id, user_id, key
        from private.idempotency_keys
        where created_at < now() - interval '24 hours'
        order by created_at
        limit ${BATCH_ROWS}
      ) as old
      where known.account_id = old.account_id and known.user_id = old.user_id and known.key = old.key
        and known.created_at < now() - interval '24 hours'
      returning true as is_gone`,
  },
  {
    table: 'refresh_tokens',
    says: 'tokens that have expired',
    statement: byId(sql`private.refresh_tokens`, sql`expires_at < now()`),
  },
  {
    table: 'sessions',
    says: 'sessions of people over for 30 days',
    statement: byId(
      sql`public.sessions`,
      // A program's goes with its key, whose time may still be prolonged.
      sql`api_key_id is null
        and (expires_at < now() - interval '30 days' or revoked_at < now() - interval '30 days')`,
    ),
  },
  {
    table: 'leads',
    says: 'leads in the trash for 30 days',
    // One that Kommo still has would be made again by the next reading of everything: it stays in the trash.
    statement: byId(
      sql`public.leads`,
      sql`deleted_at < now() - interval '30 days' and not exists (
        select from private.kommo_leads as known
        join public.kommo_connections as keeper on keeper.id = known.connection_id
        where known.lead_id = leads.id and known.deleted_at is null and not known.is_away
          and keeper.status <> 'disconnected'
      )`,
    ),
  },
  {
    table: 'device_pairings',
    says: 'pairings over for a day',
    statement: byId(sql`public.device_pairings`, sql`expires_at < now() - interval '1 day'`),
  },
  {
    table: 'messages',
    says: 'messages that waited for a device that is gone: they failed',
    // Deleting a device fails what waits for it; what was written in that very moment is found here.
    statement: sql`
      update public.messages
      set status = 'failed', error = 'the device was deleted before this was sent'
      where id in (
        select message.id
        from public.messages as message
        where message.status in ('pending', 'sending') and not exists (
          select from public.devices as device
          where device.account_id = message.account_id and device.id = message.device_id
        )
        limit ${BATCH_ROWS}
      ) and status in ('pending', 'sending')
      returning true as is_gone`,
  },
  {
    table: 'whatsapp_messages',
    says: 'messages that nobody will ask for any more',
    statement: sql`
      delete from private.whatsapp_messages
      where (device_id, message_id, is_from_me) in (
        select device_id, message_id, is_from_me
        from private.whatsapp_messages
        where expires_at < now()
        limit ${BATCH_ROWS}
      ) and expires_at < now()
      returning true as is_gone`,
  },
  {
    table: 'whatsapp_parked_receipts',
    says: 'receipts whose message has not come for a week',
    statement: sql`
      delete from private.whatsapp_parked_receipts
      where (device_id, message_id, jid, status) in (
        select device_id, message_id, jid, status
        from private.whatsapp_parked_receipts
        where created_at < now() - interval '7 days'
        limit ${BATCH_ROWS}
      ) and created_at < now() - interval '7 days'
      returning true as is_gone`,
  },
  {
    table: 'whatsapp_downloads',
    says: 'files whose device was not there to fetch them for as long as WhatsApp keeps files: they are lost',
    statement: sql`
      with late as (
        select media_id, account_id
        from private.whatsapp_downloads
        where created_at < now() - interval '22 days'
        limit ${BATCH_ROWS}
      ), lost as (
        update public.media as file
        set state = 'failed'
        from late
        where file.account_id = late.account_id and file.id = late.media_id and file.state = 'pending'
      )
      delete from private.whatsapp_downloads as download
      using late
      where download.account_id = late.account_id and download.media_id = late.media_id
      returning true as is_gone`,
  },
];

function byId(table: Sql, isOver: Sql): Sql {
  // The condition stands twice: a row that was restored while it was waited for stays.
  return sql`
    delete from ${table}
    where id in (select id from ${table} where ${isOver} limit ${BATCH_ROWS}) and ${isOver}
    returning true as is_gone`;
}

type Means = { readonly database: Database; readonly log: Log; readonly metrics: Metrics };

/** Purges every ten minutes until stopped. Any number of workers may run: they take turns. */
export function startPurge(means: Means): Running {
  return startRounds({
    everyMs: ROUND_MS,
    round: (signal) => purgeAll(means, signal),
    onError: (error) => means.log.warn({ error }, 'purging failed'),
  });
}

async function purgeAll(means: Means, signal: AbortSignal): Promise<void> {
  for (const purge of PURGES) {
    try {
      await purgeTable(means, purge, signal);
    } catch (error) {
      // Postgres is away or overloaded; the others may still go.
      if (!signal.aborted) means.log.warn({ error, table: purge.table }, 'purging failed');
    }
  }
}

/** Removes batches until one is not full. Gives how many rows went; 0 also when another worker is at it. */
export async function purgeTable(
  { database, log, metrics }: Means,
  purge: Purge,
  signal?: AbortSignal,
): Promise<number> {
  let removed = 0;
  for (;;) {
    const { value: batch } = await database.transaction(
      async (tx) => {
        const [turn] = await tx.query(
          sql`select pg_try_advisory_xact_lock(${PURGE_LOCK}) as is_mine`,
        );
        return turn?.['is_mine'] === 't' ? (await tx.query(purge.statement)).length : 0;
      },
      { origin: { source: 'system' }, signal },
    );
    removed += batch;
    metrics.purgedRows.inc({ table: purge.table }, batch);
    if (batch < BATCH_ROWS || signal?.aborted) break;
  }
  if (removed > 0) log.info({ table: purge.table, rows: removed }, 'purged what was over');
  return removed;
}
