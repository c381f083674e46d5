import { id, json, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

const RECIPIENT_STATUSES = [
  'pending',
  'claimed',
  'sent',
  'delivered',
  'read',
  'failed',
  'skipped',
] as const;

/** Whom a campaign writes to, and how far that is: its status follows its message. */
export const campaign_recipients = defineEntity({
  table: 'campaign_recipients',
  singular: 'recipient',
  permission: 'campaigns',
  columns: {
    campaign_id: id({ references: 'campaigns' }),
    contact_id: id({ references: 'contacts' }),
    device_id: id({ nullable: true }),
    variables: json(),
    status: text({ values: RECIPIENT_STATUSES }),
    error: text({ nullable: true, max: 500 }),
    chat_id: id({ nullable: true }),
    message_id: id({ nullable: true }),
    claimed_at: timestamp({ nullable: true }),
  },
  identity: ['account_id', 'id', 'campaign_id'],
  device: 'device_id',
  feedFilters: ['campaign_id', 'device_id'],
  embeds: {
    contact: {
      kind: 'one',
      table: 'contacts',
      by: 'contact_id',
      columns: ['id', 'display_name', 'phone'],
    },
  },
  list: {
    filters: {
      campaign_id: { kind: 'equals', column: 'campaign_id' },
      status: { kind: 'equals', column: 'status' },
    },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'asc',
  },
  rest: 'read',
});
