import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { join, sql, type Sql } from '../../platform/sql.ts';
import { insertIntoInbox, type DecryptedStanza } from './whatsapp-inbox.ts';
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
 * decrypted. One statement, however many keys: every message that comes or goes is such a step. Whoever deletes the
 * session waits for this transaction, and nothing is written to one that is deleted.
 * @throws ClarinError `not_found` when the device has no session (any more). Nothing was written then.
 */
export async function saveWhatsappKeys(
  tx: Queries,
  box: SecretBox,
  { accountId, deviceId }: SessionOwner,
  { keys, creds, stanzas }: SessionWrites,
): Promise<void> {
  const put = keys.filter(({ value }) => value !== null);
  const gone = keys.filter(({ value }) => value === null);
  const steps = [
    creds &&
      sql`
      creds as (
        update private.whatsapp_sessions as kept
        set creds = ${creds}::bytea, updated_at = now()
        from session
        where kept.device_id = session.device_id
      )`,
    put.length > 0 && sql`put as (${putKeys(put)})`,
    gone.length > 0 && sql`gone as (${removeKeys(gone)})`,
    stanzas.length > 0 &&
      sql`
      decrypted as (
        ${insertIntoInbox(box, { accountId, deviceId }, stanzas, sql`select device_id from session`)}
      )`,
  ];
  const [row] = await tx.query(sql`
    with session as materialized (
      select device_id
      from private.whatsapp_sessions
      where account_id = ${accountId} and device_id = ${deviceId}
      for ${creds ? sql`no key update` : sql`key share`}
    )${join(
      steps.flatMap((step) => (step ? [sql`, ${step}`] : [])),
      ' ',
    )}
    select count(*) as sessions from session`);
  if (row?.['sessions'] !== '1')
    throw new ClarinError('not_found', 'the device has no session with WhatsApp');
}

function putKeys(keys: readonly SealedKey[]): Sql {
  const [types, ids, values] = [
    keys.map(({ type }) => type),
    keys.map(({ id }) => id),
    keys.map(({ value }) => value),
  ];
  return sql`
    insert into private.whatsapp_keys (device_id, type, id, value)
    select session.device_id, key.type, key.id, key.value
    from session
    cross join unnest(${types}::text[], ${ids}::text[], ${values}::bytea[]) as key (type, id, value)
    on conflict (device_id, type, id) do update set value = excluded.value`;
}

function removeKeys(keys: readonly SealedKey[]): Sql {
  return sql`
    delete from private.whatsapp_keys as key
    using session,
      unnest(${keys.map(({ type }) => type)}::text[], ${keys.map(({ id }) => id)}::text[]) as gone (type, id)
    where key.device_id = session.device_id and key.type = gone.type and key.id = gone.id`;
}
