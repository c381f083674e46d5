import { devices } from '../../../domain/entities/devices.ts';
import { formatTimestamp } from '../../../domain/row-json.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';

/** How a device is, and what waits for it, `{...}`; one statement. Undefined: no such device. */
export async function readDeviceHealth(
  db: Queries,
  { id, signal, ...reach }: Reach & { id: number; signal: AbortSignal },
): Promise<string | undefined> {
  const [row] = await db.query(
    sql`
      select device.id, device.status, device.wanted, device.status_reason, device.last_seen_at,
        waiting.count, waiting.since, floor(extract(epoch from now() - waiting.since)) as seconds
      from public.devices as device
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
  const { status_reason: reason, last_seen_at: seenAt, since } = row;
  return JSON.stringify({
    id: Number(row['id']),
    status: row['status'],
    wanted: row['wanted'],
    ...(reason ? { status_reason: reason } : {}),
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
