import type { Entity } from '../../domain/entity.ts';
import { empty, column, sql, typeName, type Sql } from '../sql.ts';
import { mustColumn, type ListQuery } from './list-query.ts';

export const ascOrDesc = (order: 'asc' | 'desc'): Sql => (order === 'asc' ? sql`asc` : sql`desc`);

/** Rows before the page. A cursor stands where it begins. */
export const offsetOf = ({ after, page, limit }: ListQuery): number =>
  after ? 0 : (page - 1) * limit;

/** ` and ...`: that the row `candidate` is behind the cursor; nothing without one. */
export function afterKeyset(entity: Entity, { after, sort, order }: ListQuery): Sql {
  if (!after) return empty;
  const type = typeName(mustColumn(entity, sort).pgType);
  const compare = order === 'asc' ? sql`>` : sql`<`;
  return sql` and (${column('candidate', sort)}, candidate.id) ${compare} (${after.value}::${type}, ${after.id}::bigint)`;
}
