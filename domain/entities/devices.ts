import { boolean, text, timestamp } from '../column.ts';
import { DEVICE_CODES, DEVICE_STATUSES } from '../device-status.ts';
import { defineEntity } from '../entity.ts';

export const DEVICE_WANTED = ['disconnected', 'connected', 'logged_out'] as const;

/** One WhatsApp number. `wanted` is what people asked for, `status` what its worker last saw. */
export const devices = defineEntity({
  table: 'devices',
  singular: 'device',
  permission: 'devices',
  columns: {
    name: text({ required: true, min: 1, max: 100, write: 'always' }),
    phone: text({ nullable: true, max: 32 }),
    jid: text({ nullable: true, max: 128 }),
    status: text({ values: DEVICE_STATUSES }),
    status_code: text({ nullable: true, values: DEVICE_CODES }),
    status_reason: text({ nullable: true, max: 500 }),
    status_since: timestamp(),
    retry_at: timestamp({ nullable: true }),
    wanted: text({ values: DEVICE_WANTED }),
    last_seen_at: timestamp({ nullable: true }),
    receive_messages: boolean({ write: 'always' }),
    receive_groups: boolean({ write: 'always' }),
    platform: text({ nullable: true, max: 100 }),
    pushname: text({ nullable: true, max: 200 }),
  },
  device: 'id',
  feedFilters: ['id'],
  list: {
    filters: { status: { kind: 'equals', column: 'status' } },
    search: ['name'],
    sorts: ['name', 'created_at'],
    sort: 'name',
    order: 'asc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
