import { id, textArray, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** One login of one user in one account. Its refresh tokens are in the private schema; revoking the row closes sockets. */
export const sessions = defineEntity({
  table: 'sessions',
  singular: 'session',
  permission: 'users',
  columns: {
    user_id: id({ references: 'users' }),
    /** A program's: as long as its key lives. */
    api_key_id: id({ nullable: true, references: 'api_keys' }),
    /** No more than these, whatever the role says. */
    permissions: textArray({ nullable: true }),
    expires_at: timestamp(),
    revoked_at: timestamp({ nullable: true }),
  },
  list: {
    filters: {
      user_id: { kind: 'equals', column: 'user_id' },
      revoked: { kind: 'present', column: 'revoked_at' },
    },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'desc',
  },
});
