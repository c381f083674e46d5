import { boolean, id, int, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A conversation with a contact through a device. Preview, counters and `active_at` are kept by triggers. */
export const chats = defineEntity({
  table: 'chats',
  singular: 'chat',
  permission: 'chats',
  columns: {
    device_id: id({ nullable: true, references: 'devices' }),
    contact_id: id({ references: 'contacts' }),
    jid: text({ max: 128 }),
    name: text({ nullable: true, max: 200, write: 'always' }),
    last_message_id: id({ nullable: true }),
    last_message: text({ nullable: true, max: 200 }),
    last_message_type: text({ nullable: true }),
    last_message_is_from_me: boolean({ nullable: true }),
    last_message_at: timestamp({ nullable: true }),
    last_inbound_at: timestamp({ nullable: true }),
    last_read_at: timestamp({ nullable: true }),
    unread_count: int({ min: 0 }),
    /** Something unread in it, or marked so by hand. */
    is_unread: boolean({ write: 'always' }),
    is_archived: boolean({ write: 'always' }),
    is_pinned: boolean({ write: 'always' }),
    muted_until: timestamp({ nullable: true, write: 'always' }),
    /** Its last message, or its beginning. */
    active_at: timestamp(),
  },
  device: 'device_id',
  feedFilters: ['device_id', 'contact_id'],
  embeds: {
    contact: {
      kind: 'one',
      table: 'contacts',
      by: 'contact_id',
      columns: ['id', 'display_name', 'phone', 'avatar_url', 'do_not_contact', 'is_group'],
    },
    device: {
      kind: 'one',
      table: 'devices',
      by: 'device_id',
      columns: ['id', 'name', 'phone', 'status'],
    },
    tags: {
      kind: 'many',
      table: 'tags',
      through: 'chat_tags',
      owner: 'chat_id',
      target: 'tag_id',
      columns: ['id', 'name', 'color'],
      order: 'name',
    },
  },
  list: {
    filters: {
      device_id: { kind: 'equals', column: 'device_id' },
      contact_id: { kind: 'equals', column: 'contact_id' },
      unread: { kind: 'equals', column: 'is_unread' },
      archived: { kind: 'equals', column: 'is_archived' },
      pinned: { kind: 'equals', column: 'is_pinned' },
      tag_ids: { kind: 'linked', embed: 'tags' },
    },
    search: ['name', 'contact.display_name', 'contact.phone'],
    sorts: ['active_at', 'created_at'],
    sort: 'active_at',
    order: 'desc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
