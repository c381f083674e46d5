import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { PLACES, type KommoEntity, type KommoScope } from './apply-kommo-looks.ts';

/** Ids of one round: what one request can ask for. */
const HINTS_MAX = 100;

/** What waits to be fetched, the oldest first, at most a hundred of each. */
export async function readKommoHints(
  db: Queries,
  { connectionId }: KommoScope,
): Promise<Record<KommoEntity, number[]>> {
  const rows = await db.query(sql`
    select entity, kommo_id
    from (
      select entity, kommo_id, created_at,
        row_number() over (partition by entity order by created_at, kommo_id) as place
      from private.kommo_hints
      where connection_id = ${connectionId}
    ) as hint
    where place <= ${HINTS_MAX}
    order by created_at, kommo_id`);
  const of = (entity: KommoEntity): number[] =>
    rows.flatMap((row) => (row['entity'] === entity ? [Number(row['kommo_id'])] : []));
  return { lead: of('lead'), contact: of('contact') };
}

/**
 * With what came of them, in one transaction. One that came again in the meantime goes too: the pass that follows every
 * hint has what it was about.
 */
export async function deleteKommoHints(
  tx: Queries,
  { connectionId }: KommoScope,
  entity: KommoEntity,
  ids: readonly number[],
): Promise<void> {
  if (ids.length === 0) return;
  await tx.query(sql`
    delete from private.kommo_hints
    where connection_id = ${connectionId} and entity = ${entity} and kommo_id = any(${[...ids]}::bigint[])`);
}

/** Those of the ids that are rows of ours and not deleted over there, as far as we know. */
export async function filterKnownKommoIds(
  db: Queries,
  { accountId, connectionId }: KommoScope,
  entity: KommoEntity,
  ids: readonly number[],
): Promise<number[]> {
  if (ids.length === 0) return [];
  const rows = await db.query(sql`
    select kommo_id
    from private.${ident(PLACES[entity].looks)}
    where account_id = ${accountId} and connection_id = ${connectionId}
      and kommo_id = any(${[...ids]}::bigint[]) and deleted_at is null
    order by kommo_id`);
  return rows.map((row) => Number(row['kommo_id']));
}

/** Rows of ours that this connection has written and that are there, as far as we know. */
export async function countKnownKommo(
  db: Queries,
  { accountId, connectionId }: KommoScope,
  entities: readonly KommoEntity[],
): Promise<number> {
  let known = 0;
  for (const entity of entities) {
    const [row] = await db.query(sql`
      select count(*) as known
      from private.${ident(PLACES[entity].looks)}
      where account_id = ${accountId} and connection_id = ${connectionId} and deleted_at is null`);
    known += Number(row?.['known'] ?? 0);
  }
  return known;
}
