import { id, text, textArray, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** Somebody's vote in a poll: the names of the options chosen; none: taken back. Counts derive. */
export const poll_votes = defineEntity({
  table: 'poll_votes',
  singular: 'vote',
  permission: 'chats',
  columns: {
    target_id: id({ references: 'messages' }),
    chat_id: id({ references: 'chats' }),
    device_id: id({ nullable: true }),
    voter_jid: text({ max: 128 }),
    options: textArray({ max: 20 }),
    voted_at: timestamp(),
  },
  identity: ['account_id', 'id', 'chat_id'],
  device: 'device_id',
  feedFilters: ['chat_id', 'device_id'],
});
