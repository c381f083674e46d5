import { FINAL_DEVICE_CODES } from '../../domain/device-status.ts';
import { devices } from '../../domain/entities/devices.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

const FORGIVEN = FINAL_DEVICE_CODES.filter((code) => code !== 'banned');

/**
 * People ask again for a device that nothing was tried with any more: it is tried. But for a number that WhatsApp has
 * blocked: who goes on knocking is blocked for longer, so its time has to come.
 */
export async function askDeviceAnew(
  tx: Queries,
  { deviceId, ...reach }: Reach & { readonly deviceId: number },
): Promise<void> {
  await tx.query(sql`
    update public.devices as device
    set status_code = null, status_reason = null, retry_at = null
    where ${inReach(devices, 'device', reach)} and device.id = ${deviceId}
      and device.status_code = any(${FORGIVEN}::text[])`);
}

/**
 * People no longer want a device that was to be tried again by itself: it is not, and does not say so. A number that
 * WhatsApp has blocked is left alone all the same, also when it is wanted again.
 */
export async function dropDeviceRetry(
  tx: Queries,
  { deviceId, ...reach }: Reach & { readonly deviceId: number },
): Promise<void> {
  await tx.query(sql`
    update public.devices as device
    set status_code = null, status_reason = null, retry_at = null
    where ${inReach(devices, 'device', reach)} and device.id = ${deviceId} and device.status_code = 'fault'`);
}
