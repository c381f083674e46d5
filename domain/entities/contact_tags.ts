import { id } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A tag on a contact. The identity names both ends, so that a delete says which tag left which contact. */
export const contact_tags = defineEntity({
  table: 'contact_tags',
  singular: 'contact tag',
  permission: 'contacts',
  columns: {
    contact_id: id({ references: 'contacts' }),
    tag_id: id({ references: 'tags' }),
  },
  identity: ['account_id', 'id', 'contact_id', 'tag_id'],
  feedFilters: ['contact_id'],
});
