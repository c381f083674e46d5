import { sayingOf, type DeviceCode, type DeviceStatus } from '../../domain/device-status.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** A device and its account: what every statement about one is limited to. */
export type DeviceScope = { readonly accountId: number; readonly deviceId: number };

export type DeviceState = {
  readonly status: DeviceStatus;
  /** Undefined: as people want it. Its sentence goes with it. */
  readonly code: DeviceCode | undefined;
  /** Unix ms; kept to the second. */
  readonly retryAtMs: number | undefined;
};

/**
 * How a device is doing, as its worker sees it. Nothing is written where it is known to do so: the row is in every browser
 * of the account. `last_seen_at` goes along, from the pulse: while a device is connected it is not kept up to date here.
 */
export async function setDeviceStatus(
  tx: Queries,
  { accountId, deviceId }: DeviceScope,
  { status, code, retryAtMs }: DeviceState,
): Promise<void> {
  const says = code === undefined ? null : sayingOf(code).says;
  const retryAt = retryAtMs === undefined ? null : Math.ceil(retryAtMs / 1_000);
  await tx.query(sql`
    update public.devices as device
    set status = given.status, status_code = given.code, status_reason = given.says, retry_at = given.retry_at,
      last_seen_at = greatest(device.last_seen_at, (
        select pulse.frame_at from private.whatsapp_pulses as pulse
        where pulse.account_id = device.account_id and pulse.device_id = device.id
      ), case when given.status = 'connected' then date_trunc('second', clock_timestamp()) end)
    from (
      select ${status}::text as status, ${code ?? null}::text as code, ${says}::text as says,
        to_timestamp(${retryAt}::float8) as retry_at
    ) as given
    where device.account_id = ${accountId} and device.id = ${deviceId}
      and (device.status, device.status_code, device.status_reason, device.retry_at)
        is distinct from (given.status, given.code, given.says, given.retry_at)`);
}

export type Pulse = DeviceScope & {
  /** Since the last frame came, ms. */
  readonly ageMs: number;
};

/** When a frame last came from WhatsApp, of many devices at once; in no WAL. An older one than is known changes nothing. */
export async function beatDevicePulses(db: Queries, pulses: readonly Pulse[]): Promise<void> {
  if (pulses.length === 0) return;
  await db.query(sql`
    insert into private.whatsapp_pulses as pulse (device_id, account_id, frame_at)
    select given.device_id, given.account_id, clock_timestamp() - make_interval(secs => given.age / 1000)
    from unnest(
      ${pulses.map(({ deviceId }) => deviceId)}::bigint[], ${pulses.map(({ accountId }) => accountId)}::bigint[],
      ${pulses.map(({ ageMs }) => ageMs)}::float8[]
    ) as given (device_id, account_id, age)
    on conflict (device_id) do update set account_id = excluded.account_id, frame_at = excluded.frame_at
      where pulse.frame_at < excluded.frame_at`);
}
