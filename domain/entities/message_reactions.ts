import { id, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** Somebody's reaction to a message. Without an emoji it was taken back. */
export const message_reactions = defineEntity({
  table: 'message_reactions',
  singular: 'reaction',
  permission: 'chats',
  columns: {
    target_id: id({ references: 'messages' }),
    chat_id: id({ references: 'chats' }),
    device_id: id({ nullable: true }),
    sender_jid: text({ max: 128 }),
    emoji: text({ nullable: true, min: 1, max: 64 }),
    reacted_at: timestamp(),
  },
  identity: ['account_id', 'id', 'chat_id'],
  device: 'device_id',
  feedFilters: ['chat_id', 'device_id'],
});
