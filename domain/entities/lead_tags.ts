import { id } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A tag on a lead. The identity names both ends, so that a delete says which tag left which lead. */
export const lead_tags = defineEntity({
  table: 'lead_tags',
  singular: 'lead tag',
  permission: 'leads',
  columns: {
    lead_id: id({ references: 'leads' }),
    tag_id: id({ references: 'tags' }),
  },
  identity: ['account_id', 'id', 'lead_id', 'tag_id'],
  feedFilters: ['lead_id'],
});
