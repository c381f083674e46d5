import { column, ident, sql, type Sql } from '../../platform/sql.ts';

/**
 * Statements over many rows that answer `matched`, the rows meant, and `changed`, what was written. `target` selects
 * the ids of the rows meant and locks them, in the order of their ids.
 */
export function counting(target: Sql, changing: Sql): Sql {
  return sql`
    with target as materialized (${target}), changed as (${changing})
    select (select count(*) from target) as matched, (select count(*) from changed) as changed`;
}

type Tagging = {
  readonly accountId: number;
  readonly links: 'lead_tags' | 'contact_tags';
  /** Column of the links that names the tagged row. */
  readonly owner: 'lead_id' | 'contact_id';
  readonly target: Sql;
  readonly tagIds: readonly number[];
};

/** All tags must be of this account, else `is_known` is false; a link that exists already is left alone. */
export function tagging({ accountId, links, owner, target, tagIds }: Tagging): Sql {
  const wanted = [...new Set(tagIds)];
  return sql`
    with target as materialized (${target}),
    tag as (
      select id
      from public.tags
      where account_id = ${accountId} and id = any(${wanted}::bigint[])
    ),
    changed as (
      insert into public.${ident(links)} (account_id, ${ident(owner)}, tag_id)
      select ${accountId}::bigint, target.id, tag.id
      from target
      cross join tag
      order by target.id, tag.id
      on conflict (account_id, ${ident(owner)}, tag_id) do nothing
      returning id
    )
    select (select count(*) from target) as matched, (select count(*) from changed) as changed,
      (select count(*) from tag) = ${wanted.length}::bigint as is_known`;
}

export function untagging({ accountId, links, owner, target, tagIds }: Tagging): Sql {
  return counting(
    target,
    sql`
      delete from public.${ident(links)} as link
      using target
      where link.account_id = ${accountId} and ${column('link', owner)} = target.id
        and link.tag_id = any(${[...tagIds]}::bigint[])
      returning link.id`,
  );
}
