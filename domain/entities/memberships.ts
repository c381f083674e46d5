import { boolean, id } from '../column.ts';
import { defineEntity } from '../entity.ts';

export const memberships = defineEntity({
  table: 'memberships',
  singular: 'membership',
  permission: 'users',
  columns: {
    user_id: id({ required: true, references: 'users', write: 'create' }),
    role_id: id({ required: true, references: 'roles', write: 'always' }),
    is_default: boolean({ write: 'always' }),
  },
  list: {
    filters: {
      user_id: { kind: 'equals', column: 'user_id' },
      role_id: { kind: 'equals', column: 'role_id' },
    },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'asc',
  },
  rest: 'crud',
});
