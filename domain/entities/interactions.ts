import { id, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

const INTERACTION_KINDS = ['call', 'note', 'email', 'meeting'] as const;

/** A call, note, e-mail or meeting with a contact, or about a lead, whose contact is then filled in. */
export const interactions = defineEntity({
  table: 'interactions',
  singular: 'interaction',
  permission: 'contacts',
  columns: {
    kind: text({ values: INTERACTION_KINDS, required: true, write: 'always' }),
    /** Absent with a lead: its contact. */
    contact_id: id({ references: 'contacts', write: 'create' }),
    lead_id: id({ nullable: true, references: 'leads', write: 'create' }),
    direction: text({ nullable: true, values: ['inbound', 'outbound'], write: 'always' }),
    outcome: text({ nullable: true, max: 200, write: 'always' }),
    notes: text({ nullable: true, write: 'always' }),
    next_action: text({ nullable: true, max: 500, write: 'always' }),
    next_action_at: timestamp({ nullable: true, write: 'always' }),
    occurred_at: timestamp({ write: 'always' }),
    created_by: id({ nullable: true }),
  },
  feedFilters: ['contact_id', 'lead_id'],
  list: {
    filters: {
      contact_id: { kind: 'equals', column: 'contact_id' },
      lead_id: { kind: 'equals', column: 'lead_id' },
      kind: { kind: 'equals', column: 'kind' },
      created_by: { kind: 'equals', column: 'created_by' },
      occurred: { kind: 'range', column: 'occurred_at' },
      next_action: { kind: 'range', column: 'next_action_at' },
    },
    search: [],
    sorts: ['occurred_at', 'created_at'],
    sort: 'occurred_at',
    order: 'desc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
