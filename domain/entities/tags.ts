import { id, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

export const tags = defineEntity({
  table: 'tags',
  singular: 'tag',
  permission: 'tags',
  columns: {
    name: text({ required: true, min: 1, max: 100, write: 'always' }),
    color: text({ pattern: /^#[0-9a-fA-F]{6}$/, write: 'always' }),
    kommo_id: id({ nullable: true }),
  },
  list: {
    filters: {},
    search: ['name'],
    sorts: ['name', 'created_at'],
    sort: 'name',
    order: 'asc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
