import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';

/** A connection as people have it, and what waits for it. */
export type Connection = {
  readonly accountId: number;
  readonly connectionId: number;
  readonly subdomain: string;
  readonly status: string;
  readonly reason: string | undefined;
  /** Unix ms. */
  readonly untilMs: number | undefined;
  readonly tokenExpiresAtMs: number | undefined;
  /** A token that renews itself. */
  readonly isRenewed: boolean;
  /** Changes whenever its tokens do; undefined: it has none. */
  readonly tokensKeptAt: string | undefined;
  readonly fullSync: string;
  /** Kommo's ids of the pipelines that are followed, ascending. */
  readonly followed: readonly number[];
  readonly hasHints: boolean;
  /** Of the account. */
  readonly timezone: string;
};

/** Every connection that is to be read has a lease: a statement that gives their names. */
export const wantedLeases = sql`
  select 'kommo:' || connection.id
  from public.kommo_connections as connection
  join public.accounts as account on account.id = connection.account_id
  where connection.status <> 'disconnected' and account.is_active`;

/** The number in a lease's name. */
export function connectionOf(resource: string): number {
  return Number(resource.slice('kommo:'.length));
}

/** Those of the ids that are there. */
export async function readConnections(db: Queries, ids: readonly number[]): Promise<Connection[]> {
  if (ids.length === 0) return [];
  const rows = await db.query(sql`
    select connection.id, connection.account_id, connection.subdomain, connection.status, connection.status_reason,
      extract(epoch from connection.status_until) * 1000 as until,
      extract(epoch from connection.token_expires_at) * 1000 as token_expires_at,
      token.refresh_token is not null as is_renewed, token.updated_at as tokens_kept_at,
      connection.full_sync_state, account.timezone,
      exists (
        select from private.kommo_hints as hint where hint.connection_id = connection.id
      ) as has_hints,
      (
        select json_agg(pipeline.kommo_id order by pipeline.kommo_id)
        from public.kommo_pipelines as pipeline
        where pipeline.account_id = connection.account_id and pipeline.connection_id = connection.id
          and pipeline.is_connected
      ) as followed
    from public.kommo_connections as connection
    join public.accounts as account on account.id = connection.account_id
    left join private.kommo_tokens as token
      on token.account_id = connection.account_id and token.connection_id = connection.id
    where connection.id = any(${[...ids]}::bigint[])`);
  const moment = (text: string | null | undefined): number | undefined =>
    text ? Number(text) : undefined;
  return rows.map((row) => ({
    accountId: Number(row['account_id']),
    connectionId: Number(row['id']),
    subdomain: row['subdomain'] ?? '',
    status: row['status'] ?? '',
    reason: row['status_reason'] ?? undefined,
    untilMs: moment(row['until']),
    tokenExpiresAtMs: moment(row['token_expires_at']),
    isRenewed: row['is_renewed'] === 't',
    tokensKeptAt: row['tokens_kept_at'] ?? undefined,
    fullSync: row['full_sync_state'] ?? 'none',
    followed: JSON.parse(row['followed'] ?? '[]') as number[],
    hasHints: row['has_hints'] === 't',
    timezone: row['timezone'] ?? 'UTC',
  }));
}
