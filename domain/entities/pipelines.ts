import { boolean, id, int, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

export const pipelines = defineEntity({
  table: 'pipelines',
  singular: 'pipeline',
  permission: 'pipelines',
  columns: {
    name: text({ required: true, min: 1, max: 200, write: 'always' }),
    position: int({ min: 0, write: 'always' }),
    is_default: boolean({ write: 'always' }),
    kommo_id: id({ nullable: true }),
  },
  embeds: {
    stages: {
      kind: 'children',
      table: 'pipeline_stages',
      by: 'pipeline_id',
      columns: ['id', 'name', 'color', 'type', 'position'],
      order: 'position',
    },
  },
  list: {
    filters: {},
    search: ['name'],
    sorts: ['position', 'name', 'created_at'],
    sort: 'position',
    order: 'asc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
