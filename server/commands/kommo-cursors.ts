import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoScope } from './apply-kommo-looks.ts';

export type KommoCursor = {
  /** JSON, as it was saved. */
  readonly position: unknown;
  /** When, Unix ms by the database's clock. */
  readonly savedAtMs: number;
};

/** Where everything of a connection goes on, by kind. */
export async function readKommoCursors(
  db: Queries,
  { accountId, connectionId }: KommoScope,
): Promise<Map<string, KommoCursor>> {
  const rows = await db.query(sql`
    select kind, position, extract(epoch from updated_at) * 1000 as saved_at
    from private.kommo_cursors
    where account_id = ${accountId} and connection_id = ${connectionId}`);
  return new Map(
    rows.map((row) => [
      row['kind'] ?? '',
      {
        position: JSON.parse(row['position'] ?? 'null') as unknown,
        savedAtMs: Number(row['saved_at']),
      },
    ]),
  );
}

/** With what it is the position behind, in one transaction. */
export async function saveKommoCursor(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  kind: string,
  position: unknown,
): Promise<void> {
  await tx.query(sql`
    insert into private.kommo_cursors (connection_id, account_id, kind, position)
    select id, account_id, ${kind}, ${JSON.stringify(position)}::jsonb
    from public.kommo_connections
    where account_id = ${accountId} and id = ${connectionId}
    on conflict (connection_id, kind) do update
      set position = excluded.position, updated_at = now()`);
}

export async function deleteKommoCursor(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  kind: string,
): Promise<void> {
  await tx.query(sql`
    delete from private.kommo_cursors
    where account_id = ${accountId} and connection_id = ${connectionId} and kind = ${kind}`);
}
