import { id, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

const IDENTITY_KINDS = ['jid', 'lid', 'phone', 'kommo'] as const;

/** An address that resolves to a contact, kept by triggers; survives merges. Of a phone, its match key. */
export const contact_identities = defineEntity({
  table: 'contact_identities',
  singular: 'identity',
  permission: 'contacts',
  columns: {
    contact_id: id({ references: 'contacts' }),
    kind: text({ values: IDENTITY_KINDS }),
    value: text({ max: 128 }),
  },
  identity: ['account_id', 'id', 'contact_id'],
  feedFilters: ['contact_id'],
  list: {
    filters: { contact_id: { kind: 'equals', column: 'contact_id' } },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'asc',
  },
  rest: 'read',
});
