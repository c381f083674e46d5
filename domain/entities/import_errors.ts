import { id, int, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** What was wrong with a line of an import; the first thousand are kept. */
export const import_errors = defineEntity({
  table: 'import_errors',
  singular: 'import error',
  permission: 'contacts',
  columns: {
    import_id: id({ references: 'imports' }),
    line: int({ min: 1 }),
    field: text({ nullable: true, max: 200 }),
    message: text({ max: 500 }),
  },
  identity: ['account_id', 'id', 'import_id'],
  feedFilters: ['import_id'],
  list: {
    filters: { import_id: { kind: 'equals', column: 'import_id' } },
    search: [],
    sorts: ['line', 'created_at'],
    sort: 'line',
    order: 'asc',
  },
  rest: 'read',
});
