import { boolean, int, text, timestamp } from '../column.ts';
import { defineControlEntity } from '../entity.ts';

/** Not of any account, never in a feed. Published so that the replicator sees a user go. */
export const users = defineControlEntity({
  table: 'users',
  singular: 'user',
  scope: 'global',
  permission: 'users',
  columns: {
    username: text({ required: true, min: 1, max: 100, write: 'create' }),
    email: text({ nullable: true, min: 1, max: 254, write: 'always' }),
    password_hash: text({ published: false }),
    display_name: text({ required: true, min: 1, max: 200, write: 'always' }),
    is_active: boolean({ write: 'always' }),
    is_super_admin: boolean(),
    failed_logins: int({ published: false }),
    locked_until: timestamp({ nullable: true, published: false }),
  },
});
