import { ident, sql, type Sql } from '../../platform/sql.ts';
import { PLACES, type KommoEntity, type KommoScope } from './apply-kommo-looks.ts';

/**
 * Tags are linked and taken off by difference, so that no reader ever sees a row without those it keeps. To go behind a
 * CTE `given` (row_id bigint, tags bigint[] of Kommo's ids; null: its tags are left alone). Only links to tags that Kommo
 * has are taken off: what people tag by hand stays.
 */
export function settleLinks({ accountId, connectionId }: KommoScope, entity: KommoEntity): Sql {
  const links = ident(PLACES[entity].links);
  const row = ident(PLACES[entity].row);
  const mappings = sql`mapping.connection_id = ${connectionId} and mapping.entity = ${entity}`;
  return sql`
    wanted as materialized (
      select distinct given.row_id, mapping.tag_id
      from given
      cross join unnest(given.tags) as named (id)
      join private.kommo_tags as mapping on ${mappings} and mapping.kommo_id = named.id
    ),
    untagged as (
      delete from public.${links} as link
      using given
      where link.account_id = ${accountId} and link.${row} = given.row_id and given.tags is not null
        and exists (select from private.kommo_tags as mapping where ${mappings} and mapping.tag_id = link.tag_id)
        and not exists (select from wanted where wanted.row_id = link.${row} and wanted.tag_id = link.tag_id)
    ),
    tagged as (
      insert into public.${links} (account_id, ${row}, tag_id)
      select ${accountId}::bigint, wanted.row_id, wanted.tag_id
      from wanted
      -- Each looked up by itself, so that no plan reads the account.
      left join lateral (
        select link.id
        from public.${links} as link
        where link.account_id = ${accountId} and link.${row} = wanted.row_id and link.tag_id = wanted.tag_id
        limit 1
      ) as known on true
      where known.id is null
      order by wanted.row_id, wanted.tag_id
      on conflict (account_id, ${row}, tag_id) do nothing
    )`;
}
