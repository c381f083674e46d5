import { id } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A tag on a chat. The identity names both ends, so that a delete says which tag left which chat. */
export const chat_tags = defineEntity({
  table: 'chat_tags',
  singular: 'chat tag',
  permission: 'chats',
  columns: {
    chat_id: id({ references: 'chats' }),
    tag_id: id({ references: 'tags' }),
    device_id: id({ nullable: true }),
  },
  identity: ['account_id', 'id', 'chat_id', 'tag_id'],
  device: 'device_id',
  feedFilters: ['chat_id', 'device_id'],
});
