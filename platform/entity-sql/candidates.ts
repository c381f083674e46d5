import type { Entity } from '../../domain/entity.ts';
import { column, empty, join, sql, type Sql } from '../sql.ts';
import { conditionsOf, ownConditions, searchSources, unsearchedConditions } from './conditions.ts';
import { afterKeyset, ascOrDesc, offsetOf } from './keyset-order.ts';
import type { ListQuery } from './list-query.ts';
import { probeOf, type Probe } from './probes.ts';
import { tableOf, type Reach } from './scope.ts';

/** Rows are counted up to here: an index-only scan of as many entries takes about 2 ms. */
const TOTAL_MAX = 10_000;
/** First rows of the list's order that are looked at before the indexes of what is searched are asked. */
const WALKED_MAX = 2_500;

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
  return foundByEither(entity, reach, query, probe);
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
 * is. So the walk ends with the page, or when it has become long, and only then are the indexes asked. What the walk
 * alone has found is a total only when it came to the end of the list; by cursor it does not begin at the beginning.
 */
function foundByEither(entity: Entity, reach: Reach, query: ListQuery, probe: Probe): Candidates {
  const needed = offsetOf(query) + query.limit + 1;
  const direction = ascOrDesc(query.order);
  const columns = [...new Set([...probe.columns, query.sort])];
  const inOrder = (alias: string, count: Sql): Sql => sql`
    order by ${sorted(alias, query)} ${direction}, ${column(alias, 'id')} ${direction} ${count}`;
  const listed = sql`
    from ${tableOf(entity.table)} as candidate
    where ${ownConditions(entity, 'candidate', reach, query)}${afterKeyset(entity, query)}`;
  const isWhole = query.after
    ? sql`false`
    : sql`not exists (select ${listed} ${inOrder('candidate', sql`offset ${WALKED_MAX} limit 1`)})`;
  return {
    with: sql`with walked as materialized (
      select walked.id, ${sorted('walked', query)}
      from (
        select ${join(columns.map((name) => column('candidate', name)))}
        ${listed} ${inOrder('candidate', sql`limit ${WALKED_MAX}`)}
      ) as walked
      where ${probe.passes} ${inOrder('walked', sql`limit ${needed}`)}
    ),
    seen as materialized (
      select total, is_full, is_full or ${isWhole} as is_enough
      from (select count(*) as total, count(*) >= ${needed} as is_full from walked) as counted
    ),
    matched as materialized (
      select candidate.id, ${sorted('candidate', query)}
      from (${matchedRows(entity, reach, query)}) as candidate
      where not (select is_enough from seen)
    ),
    found as (
      select id, ${sorted('walked', query)} from walked where (select is_enough from seen)
      union all
      select id, ${sorted('matched', query)} from matched
    )`,
    from: sql`found as candidate where true`,
    counted: sql`
      select case when is_enough then total else (select count(*) from matched) end as total,
        is_full as is_capped
      from seen`,
  };
}

/** Every row that matches, by the indexes of what is searched: its id and the column of the sort. */
function matchedRows(entity: Entity, reach: Reach, query: ListQuery): Sql {
  const columns = sql`found.id, ${sorted('found', query)}`;
  const conditions = unsearchedConditions(entity, 'found', reach, query);
  if (query.search === undefined)
    return sql`select ${columns} from ${tableOf(entity.table)} as found where ${conditions}`;
  const sources = searchSources(entity, reach.accountId, query.search, { columns, conditions });
  return join(sources, ' union ');
}
