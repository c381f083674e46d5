import { FINAL_DEVICE_CODES } from '../../../domain/device-status.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { inboxOf } from '../../commands/whatsapp-inbox.ts';

export type Pairing = {
  readonly id: number;
  readonly kind: string;
  readonly phone: string | undefined;
  /** Its time is over: nothing begins because of it. */
  readonly isExpired: boolean;
};

/** A device as people have it. */
export type DeviceView = {
  readonly accountId: number;
  readonly deviceId: number;
  /** Of the account. */
  readonly isActive: boolean;
  readonly wanted: string;
  readonly status: string;
  readonly code: string | undefined;
  /** Undefined: none was asked for, or it was given up. */
  readonly pairing: Pairing | undefined;
  /** Credentials are kept, whether or not it is linked by them. */
  readonly hasSession: boolean;
  readonly receivesGroups: boolean;
};

/** What is over is over until somebody asks anew, who clears the code, or until its time has come. */
const isOver = sql`
  coalesce(device.status_code = any(${[...FINAL_DEVICE_CODES]}::text[]), false)
    and coalesce(device.retry_at > clock_timestamp(), true)`;

/**
 * Every device that somebody has to do something for has a lease: a statement that gives their names. Also one that is
 * no longer wanted, until it says so, and until what came to it is written: WhatsApp will not send it again.
 */
export const wantedDevices = sql`
  select 'whatsapp:' || device.id
  from public.devices as device
  join public.accounts as account on account.id = device.account_id
  where device.status in ('pairing', 'connecting', 'connected')
    or (device.wanted = 'logged_out' and device.status <> 'logged_out')
    or (device.wanted = 'connected' and account.is_active and not (${isOver}))
    or exists (${inboxOf(sql`device.id`)})`;

/** The number in a lease's name. */
export function deviceOf(resource: string): number {
  return Number(resource.slice('whatsapp:'.length));
}

/** Those of the ids that are there. */
export async function readDevices(db: Queries, ids: readonly number[]): Promise<DeviceView[]> {
  if (ids.length === 0) return [];
  const rows = await db.query(sql`
    select device.id, device.account_id, account.is_active, device.wanted, device.status, device.status_code,
      device.receive_groups, ${isOver} as is_over,
      exists (
        select from private.whatsapp_sessions as session where session.device_id = device.id
      ) as has_session,
      pairing.id as pairing_id, pairing.kind, pairing.phone, pairing.expires_at <= clock_timestamp() as is_expired
    from public.devices as device
    join public.accounts as account on account.id = device.account_id
    left join public.device_pairings as pairing
      on pairing.account_id = device.account_id and pairing.device_id = device.id
    where device.id = any(${[...ids]}::bigint[])`);
  return rows.map((row) => ({
    accountId: Number(row['account_id']),
    deviceId: Number(row['id']),
    isActive: row['is_active'] === 't',
    wanted: row['wanted'] ?? 'disconnected',
    status: row['status'] ?? 'disconnected',
    code: row['is_over'] === 't' ? (row['status_code'] ?? undefined) : undefined,
    pairing: row['pairing_id']
      ? {
          id: Number(row['pairing_id']),
          kind: row['kind'] ?? 'qr',
          phone: row['phone'] ?? undefined,
          isExpired: row['is_expired'] === 't',
        }
      : undefined,
    hasSession: row['has_session'] === 't',
    receivesGroups: row['receive_groups'] === 't',
  }));
}
