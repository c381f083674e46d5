import { boolean, id, json, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

const MESSAGE_TYPES = [
  'text',
  'image',
  'video',
  'audio',
  'document',
  'sticker',
  'location',
  'contact',
  'poll',
  'system',
  'unknown',
  'reaction',
  'edit',
  'revoke',
] as const;

export const MESSAGE_STATUSES = [
  'pending',
  'sending',
  'failed',
  'sent',
  'delivered',
  'received',
  'read',
  'played',
] as const;

/**
 * A message, or what was done to one: a reaction, an edit or a revocation is a row too, which names its
 * `target_message_id` and takes effect by a trigger. Statuses only move forward. `message_id` is the stanza's.
 */
export const messages = defineEntity({
  table: 'messages',
  singular: 'message',
  permission: 'chats',
  columns: {
    chat_id: id({ references: 'chats' }),
    device_id: id({ nullable: true }),
    message_id: text({ max: 128 }),
    from_jid: text({ nullable: true, max: 128 }),
    from_name: text({ nullable: true, max: 200 }),
    body: text({ nullable: true, max: 65_536 }),
    message_type: text({ values: MESSAGE_TYPES }),
    media: json({ nullable: true }),
    media_id: id({ nullable: true, references: 'media' }),
    is_from_me: boolean(),
    status: text({ values: MESSAGE_STATUSES }),
    status_at: timestamp({ nullable: true }),
    error: text({ nullable: true, max: 500 }),
    sent_at: timestamp(),
    edited_at: timestamp({ nullable: true }),
    revoked_at: timestamp({ nullable: true }),
    quoted_message_id: text({ nullable: true, max: 128 }),
    quoted_from_jid: text({ nullable: true, max: 128 }),
    quoted_body: text({ nullable: true, max: 1000 }),
    target_message_id: text({ nullable: true, max: 128 }),
    poll: json({ nullable: true }),
    location: json({ nullable: true }),
    is_forwarded: boolean(),
    client_id: text({ nullable: true, max: 128 }),
    actor_id: id({ nullable: true }),
  },
  identity: ['account_id', 'id', 'chat_id'],
  device: 'device_id',
  feedFilters: ['chat_id', 'device_id'],
  embeds: {
    reactions: {
      kind: 'children',
      table: 'message_reactions',
      by: 'target_id',
      columns: ['id', 'sender_jid', 'emoji', 'reacted_at'],
      order: 'reacted_at',
    },
    votes: {
      kind: 'children',
      table: 'poll_votes',
      by: 'target_id',
      columns: ['id', 'voter_jid', 'options', 'voted_at'],
      order: 'voted_at',
    },
  },
  cache: { row: false, list: false, page: 'chat_id' },
});
