import { boolean, id, int, json, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

const IMPORT_STATES = ['pending', 'running', 'done', 'failed', 'cancelled'] as const;

/** A CSV import of contacts. Its counts move with the rows they count. */
export const imports = defineEntity({
  table: 'imports',
  singular: 'import',
  permission: 'contacts',
  columns: {
    filename: text({ max: 255 }),
    object_key: text({ published: false }),
    size: int({ min: 0 }),
    encoding: text({ values: ['utf-8', 'windows-1252'] }),
    separator: text({ values: [',', ';', '\t'] }),
    mapping: json(),
    /** ISO 3166 in capitals: how phones without a country code are read. Absent: as the account's. */
    country: text({ nullable: true, max: 2 }),
    is_dry_run: boolean(),
    state: text({ values: IMPORT_STATES }),
    error: text({ nullable: true, max: 500 }),
    processed_count: int(),
    created_count: int(),
    updated_count: int(),
    unchanged_count: int(),
    failed_count: int(),
    processed_bytes: int(),
    started_at: timestamp({ nullable: true }),
    finished_at: timestamp({ nullable: true }),
    created_by: id({ nullable: true }),
  },
  list: {
    filters: { state: { kind: 'equals', column: 'state' } },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'desc',
  },
  rest: 'read',
});
