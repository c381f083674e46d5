import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoScope } from './apply-kommo-looks.ts';

/** As kommo_connections has them; `disconnected` is said by people alone. */
export type KommoStatus =
  | 'connected'
  | 'paused'
  | 'needs_reauth'
  | 'rate_limited'
  | 'blocked'
  | 'error';

type State = {
  readonly status: KommoStatus;
  /** A sentence for people. */
  readonly reason: string | undefined;
  /** Unix ms; kept to the second. */
  readonly untilMs: number | undefined;
};

const REASON_MAX = 500;

/** How a connection is doing. Nothing is written where it is known to do so, nor once people have disconnected it. */
export async function setKommoStatus(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  { status, reason, untilMs }: State,
): Promise<void> {
  const until = untilMs === undefined ? null : Math.ceil(untilMs / 1_000);
  await tx.query(sql`
    update public.kommo_connections as connection
    set status = given.status, status_reason = given.reason, status_until = given.until
    from (
      select ${status}::text as status, ${reason?.slice(0, REASON_MAX) ?? null}::text as reason,
        to_timestamp(${until}::float8) as until
    ) as given
    where connection.account_id = ${accountId} and connection.id = ${connectionId}
      and connection.status <> 'disconnected'
      and (connection.status, connection.status_reason, connection.status_until)
        is distinct from (given.status, given.reason, given.until)`);
}

/** Something that had changed over there was written. For people: once a minute is enough. */
export async function noteKommoChange(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
): Promise<void> {
  await tx.query(sql`
    update public.kommo_connections
    set last_change_at = now()
    where account_id = ${accountId} and id = ${connectionId}
      and (last_change_at is null or last_change_at < now() - interval '1 minute')`);
}

type Progress = { readonly done: number; readonly total: number | undefined };

/** Everything is read now, whether somebody asked for it or not. False: it was asked for, and is given up by now. */
export async function beginFullSync(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  { total, isAsked }: Pick<Progress, 'total'> & { readonly isAsked: boolean },
): Promise<boolean> {
  const rows = await tx.query(sql`
    update public.kommo_connections
    set full_sync_state = 'running', full_sync_done = 0, full_sync_total = ${total ?? null}, full_sync_at = null
    where account_id = ${accountId} and id = ${connectionId} and status <> 'disconnected'
      and (full_sync_state <> 'cancelled' or not ${isAsked})
    returning id`);
  return rows.length > 0;
}

/** How far it is. False: people have given it up. */
export async function noteFullSync(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  { done, total }: Progress,
): Promise<boolean> {
  const rows = await tx.query(sql`
    update public.kommo_connections
    set full_sync_done = ${done}, full_sync_total = ${total ?? null}
    where account_id = ${accountId} and id = ${connectionId} and full_sync_state = 'running'
    returning id`);
  return rows.length > 0;
}

/** It is over; nothing is written when people have given it up before. */
export async function endFullSync(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  { state, done }: { state: 'done' | 'failed'; done: number },
): Promise<void> {
  await tx.query(sql`
    update public.kommo_connections
    set full_sync_state = ${state}, full_sync_done = ${done},
      full_sync_total = ${state === 'done' ? sql`${done}::integer` : sql`full_sync_total`}, full_sync_at = now()
    where account_id = ${accountId} and id = ${connectionId} and full_sync_state = 'running'`);
}
