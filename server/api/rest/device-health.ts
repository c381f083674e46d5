import { devices } from '../../../domain/entities/devices.ts';
import { formatTimestamp } from '../../../domain/row-json.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';

/** Frames come every half minute at least. */
const ALIVE_SECONDS = 60;

/** How a device is, and what waits for it, `{...}`; one statement. Undefined: no such device. */
export async function readDeviceHealth(
  db: Queries,
  { id, signal, ...reach }: Reach & { id: number; signal: AbortSignal },
): Promise<string | undefined> {
  const [row] = await db.query(
    sql`
      select device.id, device.status, device.wanted, device.status_code, device.status_reason,
        device.status_since, device.retry_at, device.last_seen_at, pulse.frame_at,
        pulse.frame_at > clock_timestamp() - make_interval(secs => ${ALIVE_SECONDS}) as is_alive,
        waiting.count, waiting.since, floor(extract(epoch from now() - waiting.since)) as seconds
      from public.devices as device
      left join private.whatsapp_pulses as pulse
        on pulse.account_id = device.account_id and pulse.device_id = device.id
      cross join lateral (
        select count(*) as count, min(message.created_at) as since
        from public.messages as message
        where message.account_id = device.account_id and message.device_id = device.id
          and message.status = 'pending'
      ) as waiting
      where ${inReach(devices, 'device', reach)} and device.id = ${id}`,
    { signal },
  );
  if (!row) return undefined;
  const { status_code: code, status_reason: reason, retry_at: retryAt, since } = row;
  const seenAt = latest(row['last_seen_at'], row['frame_at']);
  return JSON.stringify({
    id: Number(row['id']),
    status: row['status'],
    wanted: row['wanted'],
    // Believed only by what came from there: a process that was killed says nothing.
    is_alive: row['status'] === 'connected' && row['is_alive'] === 't',
    ...(code ? { status_code: code } : {}),
    ...(reason ? { status_reason: reason } : {}),
    status_since: formatTimestamp(row['status_since'] ?? ''),
    ...(retryAt ? { retry_at: formatTimestamp(retryAt) } : {}),
    ...(seenAt ? { last_seen_at: formatTimestamp(seenAt) } : {}),
    pending_count: Number(row['count']),
    ...(since
      ? {
          oldest_pending_at: formatTimestamp(since),
          oldest_pending_seconds: Number(row['seconds']),
        }
      : {}),
  });
}

function latest(
  one: string | null | undefined,
  two: string | null | undefined,
): string | undefined {
  if (!one || !two) return one ?? two ?? undefined;
  return new Date(one) >= new Date(two) ? one : two;
}
