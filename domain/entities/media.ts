import { id, int, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

const MEDIA_STATES = ['pending', 'stored', 'failed'] as const;

/** A file. Its bytes are in the media store, under a key that is never shown; see /api/media/:id/content. */
export const media = defineEntity({
  table: 'media',
  singular: 'file',
  permission: 'chats',
  columns: {
    device_id: id({ nullable: true }),
    object_key: text({ published: false }),
    mimetype: text({ max: 200 }),
    filename: text({ nullable: true, max: 255, write: 'always' }),
    size: int({ min: 0 }),
    sha256: text({ nullable: true, published: false }),
    state: text({ values: MEDIA_STATES }),
    created_by: id({ nullable: true }),
  },
  device: 'device_id',
  deviceless: 'shown',
  feedFilters: ['device_id'],
  list: {
    filters: {
      mimetype: { kind: 'equals', column: 'mimetype' },
      state: { kind: 'equals', column: 'state' },
    },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'desc',
  },
  rest: 'crud',
});
