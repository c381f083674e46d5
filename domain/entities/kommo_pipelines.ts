import { boolean, id, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A pipeline of a Kommo account, and ours that follows it while it is connected. */
export const kommo_pipelines = defineEntity({
  table: 'kommo_pipelines',
  singular: 'Kommo pipeline',
  permission: 'integrations',
  columns: {
    connection_id: id({ references: 'kommo_connections' }),
    kommo_id: id(),
    name: text({ max: 200 }),
    pipeline_id: id({ nullable: true, references: 'pipelines' }),
    is_connected: boolean(),
  },
  list: {
    filters: { connection_id: { kind: 'equals', column: 'connection_id' } },
    search: [],
    sorts: ['name', 'created_at'],
    sort: 'name',
    order: 'asc',
  },
});
