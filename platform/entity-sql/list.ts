import type { Entity } from '../../domain/entity.ts';
import type { TextRow } from '../postgres.ts';
import { column, empty, sql, typeName, type Sql } from '../sql.ts';
import { compileBodyWriter, type Sees } from './body.ts';
import { conditionsOf } from './conditions.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { formatKeyset, type Keyset, type SortOrder } from './keyset.ts';
import { mustColumn, type ListQuery } from './list-query.ts';
import { selectColumns, tableOf, type Reach } from './scope.ts';

export const ascOrDesc = (order: 'asc' | 'desc'): Sql => (order === 'asc' ? sql`asc` : sql`desc`);

/**
 * A page of a list: how many there are, the page's ids by the index of its sort, and only then the rows and what they
 * embed. One row more than the page holds, so that the end is known. With no rows there is one row without an id.
 */
export function listStatement(entity: Entity, reach: Reach, query: ListQuery): Sql {
  const { sort, order, after, limit, page } = query;
  const direction = ascOrDesc(order);
  const offset = after ? 0 : (page - 1) * limit;
  const candidates = candidatesOf(entity, reach, query);
  return sql`
    ${candidates.with}
    select counted.total as "list.total", ${selectColumns(entity, 'entity')}${selectEmbeds(entity)}
    from (
      select count(*) as total
      from ${candidates.from}
    ) as counted
    left join (
      select candidate.id, ${column('candidate', sort)} as sorted_by
      from ${candidates.from}${after ? afterKeyset(entity, query, after) : empty}
      order by ${column('candidate', sort)} ${direction}, candidate.id ${direction}
      limit ${limit + 1} offset ${offset}
    ) as page on true
    left join ${tableOf(entity.table)} as entity on entity.id = page.id
    ${joinEmbeds(entity, 'entity')}
    order by page.sorted_by ${direction}, page.id ${direction}`;
}

/**
 * Where counting and paging read from, with a `where`. Searches and links are found once, for both: their cost is the
 * finding. Everything else is read twice, because each has an index that serves it better than a common list would.
 */
function candidatesOf(entity: Entity, reach: Reach, query: ListQuery): { with: Sql; from: Sql } {
  const rows = sql`${tableOf(entity.table)} as candidate
      where ${conditionsOf(entity, 'candidate', reach, query)}`;
  const isFoundOnce =
    query.search !== undefined ||
    Object.values(query.filters).some(({ kind }) => kind === 'linked');
  if (!isFoundOnce) return { with: empty, from: rows };
  return {
    with: sql`with matched as materialized (
      select candidate.id, ${column('candidate', query.sort)}
      from ${rows}
    )`,
    from: sql`matched as candidate where true`,
  };
}

function afterKeyset(entity: Entity, query: ListQuery, after: Keyset): Sql {
  const type = typeName(mustColumn(entity, query.sort).pgType);
  const compare = query.order === 'asc' ? sql`>` : sql`<`;
  return sql` and (${column('candidate', query.sort)}, candidate.id) ${compare} (${after.value}::${type}, ${after.id}::bigint)`;
}

/** The body of a list from the rows of its statement. */
export function writeList(
  entity: Entity,
  query: ListQuery,
  rows: readonly TextRow[],
  sees?: Sees,
): string {
  const write = compileBodyWriter(entity, sees);
  const found = rows.filter((row) => row['id'] !== null);
  const shown = found.slice(0, query.limit);
  const last = shown.at(-1);
  let body = `{"data":[${shown.map(write).join(',')}],"total":${rows[0]?.['list.total'] ?? '0'}`;
  if (!query.after) body += `,"page":${query.page}`;
  body += `,"limit":${query.limit}`;
  if (last && found.length > query.limit) {
    const { sort, order } = query;
    body += `,"next_cursor":"${nextCursor({ of: entity.table, sort, order }, last)}"`;
  }
  return `${body}}`;
}

/** The cursor behind this row. Sorts are columns that are never null. */
export function nextCursor(by: SortOrder, row: TextRow): string {
  return formatKeyset(by, { value: row[by.sort] ?? '', id: Number(row['id']) });
}
