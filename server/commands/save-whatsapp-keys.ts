import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { insertInbox, type DecryptedStanza } from './whatsapp-inbox.ts';
import type { SessionOwner } from './whatsapp-session.ts';

export type SealedKey = {
  readonly type: string;
  readonly id: string;
  /** Null: there is none any more. */
  readonly value: Uint8Array | null;
};

/** What belongs together: all of it is written, or nothing. */
export type SessionWrites = {
  readonly keys: readonly SealedKey[];
  /** Sealed; undefined: they are as they were written last. */
  readonly creds: Uint8Array | undefined;
  readonly stanzas: readonly DecryptedStanza[];
};

/**
 * A step of a device's session with WhatsApp: ratchets and keys, the credentials that count them, and what the ratchets
 * decrypted. At most four statements, however many keys.
 * @throws ClarinError `not_found` when the device has no session (any more). Nothing was written then.
 */
export async function saveWhatsappKeys(
  tx: Queries,
  box: SecretBox,
  owner: SessionOwner,
  { keys, creds, stanzas }: SessionWrites,
): Promise<void> {
  await holdSession(tx, owner, creds);
  await putKeys(tx, owner, keys);
  await removeKeys(tx, owner, keys);
  await insertInbox(tx, box, owner, stanzas);
}

/** Whoever deletes the session waits for this transaction, and nothing is written to one that is deleted. */
async function holdSession(
  tx: Queries,
  { accountId, deviceId }: SessionOwner,
  creds: Uint8Array | undefined,
): Promise<void> {
  const rows = creds
    ? await tx.query(sql`
        update private.whatsapp_sessions
        set creds = ${creds}::bytea, updated_at = now()
        where account_id = ${accountId} and device_id = ${deviceId}
        returning device_id`)
    : await tx.query(sql`
        select device_id
        from private.whatsapp_sessions
        where account_id = ${accountId} and device_id = ${deviceId}
        for key share`);
  if (rows.length === 0)
    throw new ClarinError('not_found', 'the device has no session with WhatsApp');
}

async function putKeys(
  tx: Queries,
  { accountId, deviceId }: SessionOwner,
  keys: readonly SealedKey[],
): Promise<void> {
  const put = keys.filter(({ value }) => value !== null);
  if (put.length === 0) return;
  const [types, ids, values] = [
    put.map(({ type }) => type),
    put.map(({ id }) => id),
    put.map(({ value }) => value),
  ];
  await tx.query(sql`
    insert into private.whatsapp_keys (device_id, type, id, value)
    select session.device_id, key.type, key.id, key.value
    from private.whatsapp_sessions as session
    cross join unnest(${types}::text[], ${ids}::text[], ${values}::bytea[]) as key (type, id, value)
    where session.account_id = ${accountId} and session.device_id = ${deviceId}
    on conflict (device_id, type, id) do update set value = excluded.value`);
}

async function removeKeys(
  tx: Queries,
  { accountId, deviceId }: SessionOwner,
  keys: readonly SealedKey[],
): Promise<void> {
  const gone = keys.filter(({ value }) => value === null);
  if (gone.length === 0) return;
  await tx.query(sql`
    delete from private.whatsapp_keys as key
    using private.whatsapp_sessions as session,
      unnest(${gone.map(({ type }) => type)}::text[], ${gone.map(({ id }) => id)}::text[]) as gone (type, id)
    where session.account_id = ${accountId} and session.device_id = ${deviceId}
      and key.device_id = session.device_id and key.type = gone.type and key.id = gone.id`);
}
