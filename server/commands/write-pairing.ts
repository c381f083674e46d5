import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { DeviceScope } from './set-device-status.ts';

type Shown = {
  readonly pairingId: number;
  /** What is asked for may have been replaced by something else in the same row. */
  readonly kind: string;
  readonly phone: string | undefined;
  /** The text of a QR, or the code to type. */
  readonly code: string;
  /** How long it can be used, from now on. */
  readonly lifeMs: number;
};

/** Shows people what to scan or to type. False: they no longer ask for it, or for something else by now. */
export async function writePairing(
  tx: Queries,
  { accountId, deviceId }: DeviceScope,
  { pairingId, kind, phone, code, lifeMs }: Shown,
): Promise<boolean> {
  const rows = await tx.query(sql`
    update public.device_pairings
    set code = ${code}, expires_at = clock_timestamp() + make_interval(secs => ${lifeMs / 1_000}::float8)
    where account_id = ${accountId} and device_id = ${deviceId} and id = ${pairingId}
      and (kind, phone) is not distinct from (${kind}, ${phone ?? null}::text)
    returning id`);
  return rows.length > 0;
}

/** What is shown cannot be used any more; another one comes. */
export async function hidePairingCode(
  tx: Queries,
  { accountId, deviceId }: DeviceScope,
): Promise<void> {
  await tx.query(sql`
    update public.device_pairings
    set code = null
    where account_id = ${accountId} and device_id = ${deviceId} and code is not null`);
}

/** The pairing is over, whichever way. */
export async function endPairing(tx: Queries, { accountId, deviceId }: DeviceScope): Promise<void> {
  await tx.query(sql`
    delete from public.device_pairings where account_id = ${accountId} and device_id = ${deviceId}`);
}

export type Numbers = {
  /** The number whose chats the device has; undefined: none, it may get any. */
  readonly own: string | undefined;
  /** Of the other devices of the account. */
  readonly others: readonly string[];
};

/** Which numbers are with whom: read before a pairing, because what is paired has to be refused in no time. */
export async function readNumbers(
  db: Queries,
  { accountId, deviceId }: DeviceScope,
): Promise<Numbers> {
  const rows = await db.query(sql`
    select device.jid, device.id = ${deviceId} as is_own, exists (
      select from public.chats as chat
      where chat.account_id = device.account_id and chat.device_id = device.id
    ) as has_chats
    from public.devices as device
    where device.account_id = ${accountId} and device.jid is not null`);
  const own = rows.find((row) => row['is_own'] === 't');
  return {
    own: own?.['has_chats'] === 't' ? (own['jid'] ?? undefined) : undefined,
    others: rows.flatMap((row) => (row['is_own'] === 't' ? [] : [row['jid'] ?? ''])),
  };
}

export type Linked = {
  /** Without the device's number. */
  readonly jid: string;
  readonly phone: string;
  readonly pushname: string | undefined;
  /** What the phone runs, as WhatsApp has it. */
  readonly platform: string | undefined;
};

/**
 * The device is linked to this number, and has been paired then. Written at every login, if it is something new. False:
 * another device of the account has the number; nothing was written.
 */
export async function linkDevice(
  tx: Queries,
  { accountId, deviceId }: DeviceScope,
  { jid, phone, pushname, platform }: Linked,
): Promise<boolean> {
  const taken = await tx.query(sql`
    select id from public.devices where account_id = ${accountId} and jid = ${jid} and id <> ${deviceId}`);
  if (taken.length > 0) return false;
  await tx.query(sql`
    update public.devices as device
    set jid = given.jid, phone = given.phone, pushname = coalesce(given.pushname, device.pushname),
      platform = coalesce(given.platform, device.platform)
    from (
      select ${jid}::text as jid, ${phone}::text as phone, left(${pushname ?? null}::text, 200) as pushname,
        left(${platform ?? null}::text, 100) as platform
    ) as given
    where device.account_id = ${accountId} and device.id = ${deviceId}
      and (device.jid, device.phone, device.pushname, device.platform) is distinct from (
        given.jid, given.phone, coalesce(given.pushname, device.pushname), coalesce(given.platform, device.platform)
      )`);
  await endPairing(tx, { accountId, deviceId });
  return true;
}
