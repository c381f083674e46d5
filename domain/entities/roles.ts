import { idArray, text, textArray } from '../column.ts';
import { defineEntity } from '../entity.ts';
import { PERMISSIONS } from '../permission.ts';

export const roles = defineEntity({
  table: 'roles',
  singular: 'role',
  permission: 'users',
  columns: {
    name: text({ required: true, min: 1, max: 100, write: 'always' }),
    permissions: textArray({ required: true, values: ['*', ...PERMISSIONS], write: 'always' }),
    /** The devices whose chats it may see; absent: all of them. */
    device_ids: idArray({ nullable: true, max: 1000, write: 'always' }),
  },
  list: {
    filters: {},
    search: ['name'],
    sorts: ['name', 'created_at'],
    sort: 'name',
    order: 'asc',
  },
  rest: 'crud',
});
