import type { Entity } from '../../domain/entity.ts';
import { column, empty, join, sql, type Sql } from '../sql.ts';
import { conditionsOf, ownConditions } from './conditions.ts';
import { afterKeyset, ascOrDesc, offsetOf } from './keyset-order.ts';
import type { ListQuery } from './list-query.ts';
import { probeOf, type Probe } from './probes.ts';
import { tableOf, type Reach } from './scope.ts';

/** Rows are counted up to here: an index-only scan of as many entries takes about 2 ms. */
const TOTAL_MAX = 10_000;
/** First rows of the list's order that are looked at before the indexes of what is searched are asked. */
const WALKED_MAX = 1_000;

/**
 * Where the rows of a list come from. `with` stands before the statement; `from`, which ends in conditions, gives them
 * with an id and the column of the sort; `counted` is a query of one row, `total` and `is_capped`: whether there are or
 * may be more.
 */
export type Candidates = { readonly with: Sql; readonly from: Sql; readonly counted: Sql };

export function candidatesOf(entity: Entity, reach: Reach, query: ListQuery): Candidates {
  const probe = probeOf(entity, 'walked', reach.accountId, query);
  const rows = sql`${tableOf(entity.table)} as candidate
      where ${conditionsOf(entity, 'candidate', reach, query)}`;
  if (!probe) return { with: empty, from: rows, counted: countUpTo(rows) };
  if (offsetOf(query) + query.limit >= WALKED_MAX) {
    const matched = sql`matched as materialized (select candidate.id, ${sorted('candidate', query)} from ${rows})`;
    const from = sql`matched as candidate where true`;
    return { with: sql`with ${matched}`, from, counted: countUpTo(from) };
  }
  return foundByEither(entity, reach, query, { rows, probe });
}

const sorted = (alias: string, query: ListQuery): Sql => column(alias, query.sort);

/** Counting and paging read apart: each has an index that serves it better than a common list would. */
function countUpTo(from: Sql): Sql {
  return sql`
      select least(count(*), ${TOTAL_MAX}) as total, count(*) > ${TOTAL_MAX} as is_capped
      from (select from ${from} limit ${TOTAL_MAX + 1}) as bounded`;
}

/**
 * What matches many rows is found by walking along the list's order, and would be tens of thousands in the indexes of texts and
 * links; what matches few is found by those, and walking would read the whole account. Nobody knows beforehand which it
 * is. So the walk has an end, and only when the page is not full by then are the indexes asked. What the walk alone has
 * seen is a total only when it came to the end of the list; by cursor it does not begin at the beginning.
 */
function foundByEither(
  entity: Entity,
  reach: Reach,
  query: ListQuery,
  { rows, probe }: { rows: Sql; probe: Probe },
): Candidates {
  const needed = offsetOf(query) + query.limit + 1;
  const direction = ascOrDesc(query.order);
  const columns = [...new Set([...probe.columns, query.sort])];
  const isWhole = query.after ? sql`false` : sql`count(*) < ${WALKED_MAX}`;
  return {
    with: sql`with recent as materialized (
      select walked.id, ${sorted('walked', query)}, ${probe.passes} as is_match
      from (
        select ${join(columns.map((name) => column('candidate', name)))}
        from ${tableOf(entity.table)} as candidate
        where ${ownConditions(entity, 'candidate', reach, query)}${afterKeyset(entity, query)}
        order by ${sorted('candidate', query)} ${direction}, candidate.id ${direction}
        limit ${WALKED_MAX}
      ) as walked
    ),
    seen as materialized (
      select count(*) filter (where is_match) as total, not (${isWhole}) as is_capped,
        ${isWhole} or count(*) filter (where is_match) >= ${needed} as is_enough
      from recent
    ),
    matched as materialized (
      select candidate.id, ${sorted('candidate', query)}
      from ${rows} and not (select is_enough from seen)
    ),
    found as (
      select id, ${column('recent', query.sort)} from recent where is_match and (select is_enough from seen)
      union all
      select id, ${column('matched', query.sort)} from matched
    )`,
    from: sql`found as candidate where true`,
    counted: sql`
      select case when is_enough then total else (select count(*) from matched) end as total,
        is_enough and is_capped as is_capped
      from seen`,
  };
}
