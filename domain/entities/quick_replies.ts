import { id, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A text to send by its shortcut. */
export const quick_replies = defineEntity({
  table: 'quick_replies',
  singular: 'quick reply',
  permission: 'chats',
  columns: {
    shortcut: text({
      required: true,
      max: 50,
      pattern: /^\S{1,50}$/,
      says: 'is one word of at most 50 characters',
      write: 'always',
    }),
    title: text({ required: true, min: 1, max: 200, write: 'always' }),
    body: text({ required: true, max: 4096, write: 'always' }),
    media_id: id({ nullable: true, references: 'media', write: 'always' }),
  },
  list: {
    filters: {},
    search: ['shortcut', 'title'],
    sorts: ['shortcut', 'title', 'created_at'],
    sort: 'shortcut',
    order: 'asc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
