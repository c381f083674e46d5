import { ident, sql, type Sql } from '../../platform/sql.ts';
import { PLACES, type KommoEntity, type KommoScope } from './apply-kommo-looks.ts';

/**
 * Tags are linked and taken off by difference, so that no reader ever sees a row without those it keeps. To go behind a
 * CTE `given` (row_id bigint, tags bigint[] of Kommo's ids; null: its tags are left alone; is_added boolean: none is taken
 * off). Only links to tags that Kommo
 * has are taken off: what people tag by hand stays. The links of each row are looked up by themselves, so that no plan
 * reads those of the account.
 */
export function settleLinks({ accountId, connectionId }: KommoScope, entity: KommoEntity): Sql {
  const links = ident(PLACES[entity].links);
  const row = ident(PLACES[entity].row);
  const mappings = sql`
    select mapping.tag_id
    from private.kommo_tags as mapping
    where mapping.connection_id = ${connectionId} and mapping.entity = ${entity}`;
  return sql`
    wanted as materialized (
      select given.row_id, given.is_added, array(${mappings} and mapping.kommo_id = any(given.tags)) as tag_ids
      from given
      where given.tags is not null
    ),
    untagged as (
      delete from public.${links} as link
      using (
        select known.place
        from wanted
        cross join lateral (
          select link.ctid as place, link.tag_id
          from public.${links} as link
          where link.account_id = ${accountId} and link.${row} = wanted.row_id
          offset 0
        ) as known
        where not wanted.is_added and known.tag_id <> all(wanted.tag_ids) and known.tag_id in (${mappings})
      ) as gone
      where link.ctid = gone.place
    ),
    tagged as (
      insert into public.${links} (account_id, ${row}, tag_id)
      select distinct ${accountId}::bigint, wanted.row_id, added.tag_id
      from wanted
      cross join unnest(wanted.tag_ids) as added (tag_id)
      left join lateral (
        select link.id
        from public.${links} as link
        where link.account_id = ${accountId} and link.${row} = wanted.row_id and link.tag_id = added.tag_id
        limit 1
      ) as known on true
      where known.id is null
      order by wanted.row_id, added.tag_id
      on conflict (account_id, ${row}, tag_id) do nothing
    )`;
}
