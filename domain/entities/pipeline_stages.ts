import { id, int, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

const STAGE_TYPES = ['active', 'won', 'lost'] as const;

export const pipeline_stages = defineEntity({
  table: 'pipeline_stages',
  singular: 'stage',
  permission: 'pipelines',
  columns: {
    pipeline_id: id({ required: true, references: 'pipelines', write: 'create' }),
    name: text({ required: true, min: 1, max: 200, write: 'always' }),
    color: text({ pattern: /^#[0-9a-fA-F]{6}$/, write: 'always' }),
    type: text({ values: STAGE_TYPES, write: 'create' }),
    position: int({ min: 0, write: 'always' }),
    kommo_id: id({ nullable: true }),
  },
  feedFilters: ['pipeline_id'],
  list: {
    filters: { pipeline_id: { kind: 'equals', column: 'pipeline_id' } },
    search: ['name'],
    sorts: ['position', 'name', 'created_at'],
    sort: 'position',
    order: 'asc',
  },
  rest: 'crud',
});
