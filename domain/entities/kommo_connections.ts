import { id, int, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

const KOMMO_STATUSES = [
  'connected',
  'paused',
  'needs_reauth',
  'rate_limited',
  'blocked',
  'error',
  'disconnected',
] as const;
const SYNC_STATES = ['none', 'pending', 'running', 'done', 'failed', 'cancelled'] as const;

/** A Kommo account that is read every few seconds. Its tokens are in the private schema. */
export const kommo_connections = defineEntity({
  table: 'kommo_connections',
  singular: 'Kommo connection',
  permission: 'integrations',
  columns: {
    subdomain: text({ max: 63 }),
    status: text({ values: KOMMO_STATUSES }),
    status_reason: text({ nullable: true, max: 500 }),
    status_until: timestamp({ nullable: true }),
    token_expires_at: timestamp({ nullable: true }),
    kommo_account_id: id({ nullable: true }),
    name: text({ nullable: true, max: 200 }),
    currency: text({ nullable: true, max: 3 }),
    last_change_at: timestamp({ nullable: true }),
    full_sync_state: text({ values: SYNC_STATES }),
    full_sync_done: int(),
    full_sync_total: int({ nullable: true }),
    full_sync_at: timestamp({ nullable: true }),
  },
  list: {
    filters: { status: { kind: 'equals', column: 'status' } },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'desc',
  },
});
