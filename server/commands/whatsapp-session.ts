import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** Whose session with WhatsApp. */
export type SessionOwner = { readonly accountId: number; readonly deviceId: number };

/** The credentials, as they were sealed; undefined: the device has no session. */
export async function readWhatsappSession(
  db: Queries,
  { accountId, deviceId }: SessionOwner,
): Promise<Buffer | undefined> {
  const [row] = await db.query(sql`
    select encode(creds, 'hex') as creds
    from private.whatsapp_sessions
    where account_id = ${accountId} and device_id = ${deviceId}`);
  return row ? Buffer.from(row['creds'] ?? '', 'hex') : undefined;
}

/** @throws ClarinError `not_found`: the account has no such device. `conflict`: it has a session. */
export async function createWhatsappSession(
  tx: Queries,
  { accountId, deviceId }: SessionOwner,
  creds: Uint8Array,
): Promise<void> {
  const rows = await tx.query(sql`
    insert into private.whatsapp_sessions (device_id, account_id, creds)
    select id, account_id, ${creds}::bytea
    from public.devices
    where account_id = ${accountId} and id = ${deviceId}
    returning device_id`);
  if (rows.length === 0) throw new ClarinError('not_found', 'there is no such device');
}

/** With its keys. What was decrypted and is not done yet stays. */
export async function deleteWhatsappSession(
  tx: Queries,
  { accountId, deviceId }: SessionOwner,
): Promise<void> {
  await tx.query(sql`
    delete from private.whatsapp_sessions
    where account_id = ${accountId} and device_id = ${deviceId}`);
}

/** The credentials stay. */
export async function clearWhatsappKeys(
  tx: Queries,
  { accountId, deviceId }: SessionOwner,
): Promise<void> {
  await tx.query(sql`
    delete from private.whatsapp_keys as key
    using private.whatsapp_sessions as session
    where session.account_id = ${accountId} and session.device_id = ${deviceId}
      and key.device_id = session.device_id`);
}

/** Those of the keys that there are, by their ids, as they were sealed. */
export async function readWhatsappKeys(
  db: Queries,
  { accountId, deviceId }: SessionOwner,
  type: string,
  ids: readonly string[],
): Promise<Map<string, Buffer>> {
  const rows = await db.query(sql`
    select key.id, encode(key.value, 'hex') as value
    from private.whatsapp_keys as key
    join private.whatsapp_sessions as session on session.device_id = key.device_id
    where session.account_id = ${accountId} and key.device_id = ${deviceId} and key.type = ${type}
      and key.id = any(${[...ids]}::text[])`);
  return new Map(rows.map((row) => [row['id'] ?? '', Buffer.from(row['value'] ?? '', 'hex')]));
}
