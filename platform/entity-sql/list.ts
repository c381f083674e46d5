import type { Entity } from '../../domain/entity.ts';
import type { TextRow } from '../postgres.ts';
import { column, sql, type Sql } from '../sql.ts';
import { compileBodyWriter, type Sees } from './body.ts';
import { candidatesOf } from './candidates.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { afterKeyset, ascOrDesc, offsetOf } from './keyset-order.ts';
import { formatKeyset, type SortOrder } from './keyset.ts';
import type { ListQuery } from './list-query.ts';
import { selectColumns, tableOf, type Reach } from './scope.ts';

/**
 * A page of a list: how many there are, the page's ids by the index of its sort, and only then the rows and what they
 * embed. One row more than the page holds, so that the end is known. With no rows there is one row without an id.
 */
export function listStatement(entity: Entity, reach: Reach, query: ListQuery): Sql {
  const { sort, order, limit } = query;
  const direction = ascOrDesc(order);
  const candidates = candidatesOf(entity, reach, query);
  return sql`
    ${candidates.with}
    select counted.total as "list.total", counted.is_capped as "list.capped",
      ${selectColumns(entity, 'entity')}${selectEmbeds(entity)}
    from (${candidates.counted}
    ) as counted
    left join (
      select candidate.id, ${column('candidate', sort)} as sorted_by
      from ${candidates.from}${afterKeyset(entity, query)}
      order by ${column('candidate', sort)} ${direction}, candidate.id ${direction}
      limit ${limit + 1} offset ${offsetOf(query)}
    ) as page on true
    left join ${tableOf(entity.table)} as entity on entity.id = page.id
    ${joinEmbeds(entity, 'entity')}
    order by page.sorted_by ${direction}, page.id ${direction}`;
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
  if (rows[0]?.['list.capped'] === 't') body += ',"total_is_capped":true';
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
