import { id, text, textArray, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';
import { PERMISSIONS } from '../permission.ts';

/** A program's key: acts for the member who made it, with these permissions and never more than theirs. */
export const api_keys = defineEntity({
  table: 'api_keys',
  singular: 'API key',
  permission: 'settings',
  columns: {
    user_id: id({ references: 'memberships.user_id' }),
    name: text({ required: true, min: 1, max: 100, write: 'always' }),
    prefix: text({ max: 32 }),
    key_hash: text({ published: false, pgType: 'bytea' }),
    permissions: textArray({ required: true, values: ['*', ...PERMISSIONS], write: 'always' }),
    expires_at: timestamp({ nullable: true, write: 'always' }),
    last_used_at: timestamp({ nullable: true }),
    revoked_at: timestamp({ nullable: true }),
  },
  list: {
    filters: { revoked: { kind: 'present', column: 'revoked_at' } },
    search: ['name'],
    sorts: ['name', 'created_at'],
    sort: 'created_at',
    order: 'desc',
  },
  rest: 'crud',
});
