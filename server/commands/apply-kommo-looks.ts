import type { KnownLook } from '../kommo/map-looks.ts';
import type { MappedTag } from '../kommo/map-tags.ts';
import type { Queries } from '../../platform/postgres.ts';
import { ident, sql, type Sql } from '../../platform/sql.ts';

/** A connection to Kommo, and the account it is of. */
export type KommoScope = { readonly accountId: number; readonly connectionId: number };

/** How many of the documents of a page were written, and how many said nothing new. */
export type Applied = { readonly changed: number; readonly unchanged: number };

export type KommoEntity = 'lead' | 'contact';

/** Where the looks of each entity are, and the tags of its rows. */
export const PLACES = {
  lead: { looks: 'kommo_leads', rows: 'leads', row: 'lead_id', links: 'lead_tags' },
  contact: {
    looks: 'kommo_contacts',
    rows: 'contacts',
    row: 'contact_id',
    links: 'contact_tags',
  },
} as const;

/** New rows from which on a statement may meet tables that have grown since it was planned. */
const MANY_ROWS = 50;

/** As JSON, one row: the looks of these ids that any connection of the account has written. Read by readKnown. */
export function selectKnown(scope: KommoScope, entity: KommoEntity, ids: readonly number[]): Sql {
  return sql`(
    select json_agg(json_build_array(
      known.kommo_id, known.source_updated_at, encode(known.hash, 'hex'),
      extract(epoch from known.deleted_at)::bigint,
      case
        when known.connection_id = ${scope.connectionId} then 'us'
        when keeper.status = 'disconnected' then 'nobody'
        else 'other'
      end
    ))
    from public.kommo_connections as keeper
    join private.${ident(PLACES[entity].looks)} as known
      on known.connection_id = keeper.id and known.account_id = keeper.account_id
    where keeper.account_id = ${scope.accountId} and known.kommo_id = any(${[...ids]}::bigint[])
  )`;
}

export function readKnown(json: string | null | undefined): Map<number, KnownLook> {
  type Row = [number, number, string, number | null, KnownLook['keeper']];
  const looks = new Map<number, KnownLook>();
  for (const [id, updatedAt, hash, deletedAt, keeper] of JSON.parse(json ?? '[]') as Row[]) {
    if (looks.get(id)?.keeper === 'us') continue;
    looks.set(id, { id, updatedAt, hash, deletedAt, keeper });
  }
  return looks;
}

/** As JSON, one row: those of the tags that have one of ours already. */
export function selectKnownTags(
  scope: KommoScope,
  entity: KommoEntity,
  tagIds: readonly number[],
): Sql {
  return sql`(
    select json_agg(mapping.kommo_id)
    from private.kommo_tags as mapping
    where mapping.connection_id = ${scope.connectionId} and mapping.account_id = ${scope.accountId}
      and mapping.entity = ${entity} and mapping.kommo_id = any(${[...tagIds]}::bigint[])
  )`;
}

/**
 * What is written from Kommo into an account takes turns, until the transaction ends: two connections may know the same
 * rows. With imports too (import-contacts.ts, the same lock), which make contacts by the same phones.
 */
export async function takeTurn(tx: Queries, { accountId }: KommoScope): Promise<void> {
  await tx.query(
    sql`select pg_advisory_xact_lock(hashtextextended(${`clarin.import.${accountId}`}, 0))`,
  );
}

/** Looks of a connection that is no longer read (an account that was renamed and connected anew) are this one's from now on. */
export async function takeOver(
  tx: Queries,
  scope: KommoScope,
  entity: KommoEntity,
  known: ReadonlyMap<number, KnownLook>,
): Promise<void> {
  const ids = [...known.values()].filter(({ keeper }) => keeper === 'nobody').map(({ id }) => id);
  if (ids.length === 0) return;
  const looks = ident(PLACES[entity].looks);
  await tx.query(sql`
    update private.${looks} as known
    set connection_id = ${scope.connectionId}
    from (
      select distinct on (old.kommo_id) old.kommo_id, old.connection_id
      from public.kommo_connections as keeper
      join private.${looks} as old on old.connection_id = keeper.id and old.account_id = keeper.account_id
      where keeper.account_id = ${scope.accountId} and keeper.status = 'disconnected'
        and keeper.id <> ${scope.connectionId} and old.kommo_id = any(${ids}::bigint[])
      order by old.kommo_id, old.connection_id
    ) as left_behind
    where known.connection_id = left_behind.connection_id and known.kommo_id = left_behind.kommo_id
      and not exists (
        select from private.${looks} as ours
        where ours.connection_id = ${scope.connectionId} and ours.kommo_id = known.kommo_id
      )`);
}

/**
 * Before many rows are made: a session keeps the plans of foreign keys and triggers, and those that were made while a
 * table was nearly empty read all of it (import-contacts.ts has the numbers).
 */
export async function planAnew(tx: Queries, rows: number): Promise<void> {
  if (rows >= MANY_ROWS) await tx.query(sql`discard plans`);
}

/** Tags that none of ours stands for yet are found by their name, whatever its case, or made. */
export async function ensureTags(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  entity: KommoEntity,
  tags: readonly MappedTag[],
): Promise<void> {
  if (tags.length === 0) return;
  const given = sql`unnest(
    ${tags.map(({ id }) => id)}::bigint[], ${tags.map(({ name }) => name)}::text[],
    ${tags.map(({ color }) => color ?? null)}::text[]
  ) as given (id, name, color)`;
  await tx.query(sql`
    insert into public.tags (account_id, name, color)
    select ${accountId}::bigint, wanted.name, coalesce(wanted.color, '#64748b')
    from (
      select distinct on (lower(given.name)) given.id, given.name, given.color
      from ${given}
      order by lower(given.name), given.id
    ) as wanted
    where not exists (
      select from public.tags as tag where tag.account_id = ${accountId} and lower(tag.name) = lower(wanted.name)
    )
    order by wanted.id
    on conflict (account_id, lower(name)) do nothing`);
  await tx.query(sql`
    insert into private.kommo_tags (connection_id, entity, kommo_id, account_id, tag_id, name)
    select distinct on (given.id) ${connectionId}::bigint, ${entity}, given.id, tag.account_id, tag.id, given.name
    from ${given}
    join public.tags as tag on tag.account_id = ${accountId} and lower(tag.name) = lower(given.name)
    order by given.id
    on conflict (connection_id, entity, kommo_id) do nothing`);
}
