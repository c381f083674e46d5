import { device_pairings, type PAIRING_KINDS } from '../../domain/entities/device_pairings.ts';
import { devices } from '../../domain/entities/devices.ts';
import { ClarinError } from '../../domain/errors.ts';
import { deleteEntity, readEntity } from '../../platform/entity-sql.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { notifyWhatsapp } from '../../platform/whatsapp-notes.ts';
import { askDeviceAnew } from './ask-device-anew.ts';
import { withTypedPhone } from './typed-phone.ts';

type Options = Reach & { deviceId: number; kind: (typeof PAIRING_KINDS)[number]; phone?: string };

/**
 * A device is to be paired: the row asks for it, and its worker writes the QR text or the code into it. The device is
 * wanted connected from then on. One that asks for the same as a pairing under way goes on with that one; any other,
 * and one that has expired, is replaced. Gives the pairing, JSON text.
 * @throws ClarinError not_found, conflict (it is connected, or being logged out), invalid_request (no phone number).
 */
export async function pairDevice(tx: Queries, options: Options): Promise<string> {
  const { accountId, deviceId, kind } = options;
  const reach = { accountId, devices: options.devices };
  const [device] = await tx.query(sql`
    select device.status, device.wanted
    from public.devices as device
    where ${inReach(devices, 'device', reach)} and device.id = ${deviceId}
    for no key update`);
  if (!device) throw new ClarinError('not_found', 'there is no such row');
  if (device['status'] === 'connected')
    throw new ClarinError('conflict', 'the device is connected: log it out to pair it anew');
  // It would be connected once more by what it is to be rid of.
  if (device['wanted'] === 'logged_out' && device['status'] !== 'logged_out')
    throw new ClarinError('conflict', 'the device is being logged out: pair it when that is done');
  const values = kind === 'code' ? { phone: options.phone } : {};
  const { phone = null } = await withTypedPhone(tx, { accountId, values });
  await tx.query(sql`
    insert into public.device_pairings as pairing (account_id, device_id, kind, phone)
    values (${accountId}, ${deviceId}, ${kind}, ${phone})
    on conflict (account_id, device_id) do update
      set kind = excluded.kind, phone = excluded.phone, code = null, expires_at = excluded.expires_at
      where pairing.expires_at <= now() or (pairing.kind, pairing.phone) is distinct from (excluded.kind, excluded.phone)`);
  await tx.query(sql`
    update public.devices
    set wanted = 'connected'
    where account_id = ${accountId} and id = ${deviceId} and wanted <> 'connected'`);
  await askDeviceAnew(tx, { ...reach, deviceId });
  await notifyWhatsapp(tx, { kind: 'changed', deviceId });
  const pairing = await findPairing(tx, { ...reach, deviceId });
  if (!pairing) throw new ClarinError('internal', 'a pairing is gone as soon as it was made');
  return pairing.json;
}

type Place = Reach & { deviceId: number };

/** Gives up a device's pairing; gives it as it was, JSON text. Undefined: none is under way. */
export async function cancelPairing(tx: Queries, place: Place): Promise<string | undefined> {
  const pairing = await findPairing(tx, place);
  if (!pairing) return undefined;
  await deleteEntity(tx, device_pairings, { ...place, id: pairing.id });
  await notifyWhatsapp(tx, { kind: 'changed', deviceId: place.deviceId });
  return pairing.json;
}

/** The device's pairing that has not expired; undefined: there is none, or no such device. */
export async function findPairing(
  db: Queries,
  { deviceId, ...reach }: Place,
): Promise<{ id: number; json: string } | undefined> {
  const [row] = await db.query(sql`
    select pairing.id
    from public.device_pairings as pairing
    where ${inReach(device_pairings, 'pairing', reach)} and pairing.device_id = ${deviceId}
      and pairing.expires_at > now()`);
  const id = Number(row?.['id']);
  const json = row && (await readEntity(db, device_pairings, { ...reach, id }));
  return json === undefined ? undefined : { id, json };
}
