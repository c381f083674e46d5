import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { PLACES, takeTurn, type KommoEntity, type KommoScope } from './apply-kommo-looks.ts';

/** The last second of the year 9999, as in map-values.ts. */
const SECONDS_MAX = 253_402_300_799;

type Deletion = {
  readonly entity: KommoEntity;
  readonly ids: readonly number[];
  /**
   * When, Unix seconds by Kommo's clock; a row that was looked at after that stays. Undefined: nobody knows, they are
   * only not there any more; then any look at them, as they were or newer, brings them back.
   */
  readonly at: number | undefined;
};

/**
 * Rows that were deleted in Kommo are marked, leads go to the trash. What people put there before stays theirs. Nothing
 * is written for a row that is marked already, or not known to this connection. Gives how many were marked.
 */
export async function tombstoneKommo(
  tx: Queries,
  scope: KommoScope,
  { entity, ids, at }: Deletion,
): Promise<number> {
  if (ids.length === 0) return 0;
  // A page that is being written may show them newer than that.
  await takeTurn(tx, scope);
  return buryRows(
    tx,
    scope,
    entity,
    ids.map((id) => ({ id, at })),
  );
}

/** The same for rows each of which was deleted at a time of its own. */
export async function buryRows(
  tx: Queries,
  scope: KommoScope,
  entity: KommoEntity,
  rows: readonly { readonly id: number; readonly at: number | undefined }[],
): Promise<number> {
  if (rows.length === 0) return 0;
  const { accountId, connectionId } = scope;
  const { looks, rows: table, row } = PLACES[entity];
  const [found] = await tx.query(sql`
    with gone as materialized (
      select known.kommo_id, buried.id as row_id, buried.kommo_id = known.kommo_id as is_own,
        to_timestamp(least(coalesce(given.at, known.source_updated_at), ${SECONDS_MAX}::bigint)) as at,
        ${entity === 'lead' ? sql`buried.deleted_at is null` : sql`false`} as is_trashed
      from unnest(${rows.map(({ id }) => id)}::bigint[], ${rows.map(({ at }) => at ?? null)}::bigint[])
        as given (id, at)
      join private.${ident(looks)} as known
        on known.connection_id = ${connectionId} and known.account_id = ${accountId}
        and known.kommo_id = given.id and known.deleted_at is null
        and known.source_updated_at <= coalesce(given.at, known.source_updated_at)
      join public.${ident(table)} as buried
        on buried.account_id = ${accountId} and buried.id = known.${ident(row)}
      order by buried.id
      for no key update of buried
    ),
    marked as (
      update public.${ident(table)} as buried
      set kommo_deleted_at = gone.at
        ${entity === 'lead' ? sql`, deleted_at = coalesce(buried.deleted_at, now())` : sql``}
      from gone
      -- A Kommo contact that was merged into another one takes nothing along.
      where buried.account_id = ${accountId} and buried.id = gone.row_id and gone.is_own
    ),
    noted as (
      update private.${ident(looks)} as known
      set deleted_at = gone.at
        ${entity === 'lead' ? sql`, trashed_at = case when gone.is_trashed then now() end` : sql``}
      from gone
      where known.connection_id = ${connectionId} and known.kommo_id = gone.kommo_id
      returning known.kommo_id
    )
    select count(*) as buried from noted`);
  const buried = Number(found?.['buried'] ?? 0);
  if (entity === 'contact' && buried > 0)
    await askForHeirs(
      tx,
      scope,
      rows.map(({ id }) => id),
    );
  return buried;
}

/** Kommo contacts that were merged into one that is gone go on in its place: how they looked is forgotten, and asked for. */
async function askForHeirs(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  ids: readonly number[],
): Promise<void> {
  await tx.query(sql`
    with heir as (
      update private.kommo_contacts as heir
      set hash = decode(repeat('00', 16), 'hex')
      from public.contacts as contact
      where contact.account_id = ${accountId} and contact.kommo_id = any(${[...ids]}::bigint[])
        and contact.kommo_deleted_at is not null and heir.contact_id = contact.id
        and heir.connection_id = ${connectionId} and heir.kommo_id <> contact.kommo_id and heir.deleted_at is null
      returning heir.kommo_id
    )
    insert into private.kommo_hints (connection_id, entity, kommo_id)
    select ${connectionId}::bigint, 'contact', kommo_id from heir
    on conflict (connection_id, entity, kommo_id) do nothing`);
}
