import { boolean, id, int, json, text } from '../column.ts';
import { defineControlEntity } from '../entity.ts';

/**
 * A name of the time zone database. Offsets are none: Postgres reads the sign of +05:00 the other way round.
 * https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-TIMEZONES
 */
function isTimeZone(text: string): boolean {
  if (!/^[A-Za-z]/.test(text)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

export const accounts = defineControlEntity({
  table: 'accounts',
  singular: 'account',
  scope: 'account',
  columns: {
    name: text({ required: true, min: 1, max: 200, write: 'always' }),
    slug: text({
      required: true,
      max: 63,
      pattern: /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/,
      write: 'create',
    }),
    plan: text({ max: 50 }),
    max_devices: int({ min: 0, max: 10_000 }),
    is_active: boolean(),
    default_country: text({ pattern: /^[A-Z]{2}$/, write: 'always' }),
    timezone: text({
      max: 64,
      check: isTimeZone,
      says: 'is not a time zone like America/Lima',
      write: 'always',
    }),
    default_stage_id: id({ nullable: true, references: 'pipeline_stages', write: 'always' }),
    settings: json({ permission: 'settings', write: 'always' }),
  },
});
