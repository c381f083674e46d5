import { id, int, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';
import { parseTemplate } from '../template.ts';

export const CAMPAIGN_STATUSES = [
  'draft',
  'scheduled',
  'running',
  'paused',
  'done',
  'cancelled',
] as const;

const time = {
  nullable: true,
  pattern: /^(?:[01]\d|2[0-3]):[0-5]\d$/,
  says: 'is a time like 09:30',
} as const;

/** One message to many, at a pace. Counts are kept by triggers on the recipients. */
export const campaigns = defineEntity({
  table: 'campaigns',
  singular: 'campaign',
  permission: 'campaigns',
  columns: {
    name: text({ required: true, min: 1, max: 200, write: 'always' }),
    device_id: id({ nullable: true, references: 'devices', write: 'always' }),
    template: text({
      required: true,
      min: 1,
      max: 4096,
      check: (template) => parseTemplate(template).ok,
      says: 'holds {{ }} around something that is no name of letters and digits, or does not close them',
      write: 'always',
    }),
    media_id: id({ nullable: true, references: 'media', write: 'always' }),
    status: text({ values: CAMPAIGN_STATUSES }),
    status_reason: text({ nullable: true, max: 500 }),
    scheduled_at: timestamp({ nullable: true, write: 'always' }),
    delay_seconds_min: int({ min: 0, max: 3600, write: 'always' }),
    delay_seconds_max: int({ min: 0, max: 3600, write: 'always' }),
    batch_size: int({ min: 1, max: 10_000, write: 'always' }),
    batch_pause_seconds: int({ min: 0, max: 86_400, write: 'always' }),
    daily_limit: int({ min: 1, max: 100_000, write: 'always' }),
    active_from: text({ ...time, write: 'always' }),
    active_to: text({ ...time, write: 'always' }),
    total_count: int(),
    pending_count: int(),
    claimed_count: int(),
    sent_count: int(),
    delivered_count: int(),
    read_count: int(),
    failed_count: int(),
    skipped_count: int(),
    next_at: timestamp({ nullable: true }),
    last_claimed_at: timestamp({ nullable: true, published: false }),
    batch_count: int({ published: false }),
    day: text({ nullable: true, published: false, pgType: 'date' }),
    day_count: int({ published: false }),
    started_at: timestamp({ nullable: true }),
    finished_at: timestamp({ nullable: true }),
    created_by: id({ nullable: true }),
  },
  device: 'device_id',
  feedFilters: ['device_id'],
  embeds: {
    device: {
      kind: 'one',
      table: 'devices',
      by: 'device_id',
      columns: ['id', 'name', 'phone', 'status'],
    },
  },
  list: {
    filters: {
      status: { kind: 'equals', column: 'status' },
      device_id: { kind: 'equals', column: 'device_id' },
    },
    search: ['name'],
    sorts: ['created_at', 'name'],
    sort: 'created_at',
    order: 'desc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
