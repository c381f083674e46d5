import type { Queries, TextRow } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { storableJson, storableText } from './storable-text.ts';

/** Whose stanzas. */
export type InboxOwner = { readonly accountId: number; readonly deviceId: number };

/** A part of a stanza that was decrypted. */
export type DecryptedStanza = {
  /** A uuid of this decryption, the same however often it is written. */
  readonly key: string;
  /** Of the stanza, as WhatsApp sent them: `id`, `from`, `t`, `participant`, `sender_pn`, ... */
  readonly attrs: Readonly<Record<string, string>>;
  /** An encoded Message with its padding, as it was decrypted. */
  readonly plain: Uint8Array;
};

export type InboxRow = DecryptedStanza & {
  readonly id: number;
  /** How often it has failed. */
  readonly attempts: number;
  /** When it was decrypted, in milliseconds. */
  readonly createdAtMs: number;
};

export type InboxPage = {
  /** In the order of their decryption. */
  readonly rows: readonly InboxRow[];
  /** How long until one that has failed is due; undefined: none waits. Zero when there are rows. */
  readonly dueInMs: number | undefined;
};

/** For a page: what one worker holds in memory of one device. */
const PAGE_ROWS = 50;
const PAGE_BYTES = 1 << 20;
const ERROR_CHARACTERS = 500;

/** With the ratchets that decrypted them. Rows that are there already, by their key, are left alone. */
export async function insertInbox(
  tx: Queries,
  box: SecretBox,
  { accountId, deviceId }: InboxOwner,
  stanzas: readonly DecryptedStanza[],
): Promise<void> {
  if (stanzas.length === 0) return;
  const keys = stanzas.map(({ key }) => key);
  const attrs = stanzas.map((stanza) => storableJson(stanza.attrs));
  const plains = stanzas.map(({ key, plain }) => box.sealBytes(plain, placeOf(deviceId, key)));
  await tx.query(sql`
    insert into private.whatsapp_inbox (account_id, device_id, key, attrs, plain)
    select ${accountId}, ${deviceId}, stanza.key, stanza.attrs, stanza.plain
    from unnest(${keys}::uuid[], ${attrs}::jsonb[], ${plains}::bytea[])
      with ordinality as stanza (key, attrs, plain, place)
    order by stanza.place
    on conflict (key) do nothing`);
}

/**
 * What is to be done next for a device: at most fifty rows and, after the first, a megabyte. One that has failed is
 * passed over until it is due, one that was given up for good.
 * @throws ClarinError `configuration` when they were sealed with another key.
 */
export async function readInbox(
  db: Queries,
  box: SecretBox,
  { accountId, deviceId }: InboxOwner,
): Promise<InboxPage> {
  const rows = await db.query(sql`
    select id, key, attrs, encode(plain, 'hex') as plain, attempts, extract(epoch from created_at) * 1000 as created_at_ms
    from (
      select id, key, attrs, plain, attempts, created_at,
        sum(octet_length(plain)) over (order by id) - octet_length(plain) as bytes_before
      from private.whatsapp_inbox
      where account_id = ${accountId} and device_id = ${deviceId} and next_at <= now()
      order by id
      limit ${PAGE_ROWS}
    ) as next
    where bytes_before < ${PAGE_BYTES}
    order by id`);
  if (rows.length > 0) return { rows: rows.map((row) => openRow(box, deviceId, row)), dueInMs: 0 };
  const [waiting] = await db.query(sql`
    select extract(epoch from min(next_at) - now()) * 1000 as due_in_ms
    from private.whatsapp_inbox
    where account_id = ${accountId} and device_id = ${deviceId} and next_at is not null`);
  const dueIn = waiting?.['due_in_ms'];
  return { rows: [], dueInMs: dueIn ? Math.max(0, Number(dueIn)) : undefined };
}

/** In the transaction that makes a row what it stands for. False: it is gone already, and nothing is to be done. */
export async function deleteInboxRow(
  tx: Queries,
  { accountId, deviceId }: InboxOwner,
  id: number,
): Promise<boolean> {
  const rows = await tx.query(sql`
    delete from private.whatsapp_inbox
    where account_id = ${accountId} and device_id = ${deviceId} and id = ${id}
    returning id`);
  return rows.length > 0;
}

/** It has failed. `retryInMs` undefined: it is given up, and kept for whoever looks. */
export async function failInboxRow(
  tx: Queries,
  { accountId, deviceId }: InboxOwner,
  id: number,
  { error, retryInMs }: { readonly error: string; readonly retryInMs: number | undefined },
): Promise<void> {
  const nextAt =
    retryInMs === undefined
      ? sql`null`
      : sql`now() + make_interval(secs => ${retryInMs / 1_000}::float8)`;
  await tx.query(sql`
    update private.whatsapp_inbox
    set attempts = least(attempts + 1, 32767), next_at = ${nextAt},
      error = ${storableText(error, ERROR_CHARACTERS) ?? null}
    where account_id = ${accountId} and device_id = ${deviceId} and id = ${id}`);
}

function openRow(box: SecretBox, deviceId: number, row: TextRow): InboxRow {
  const key = row['key'] ?? '';
  return {
    id: Number(row['id']),
    key,
    attrs: JSON.parse(row['attrs'] ?? '{}') as Record<string, string>,
    plain: box.openBytes(Buffer.from(row['plain'] ?? '', 'hex'), placeOf(deviceId, key)),
    attempts: Number(row['attempts']),
    createdAtMs: Number(row['created_at_ms']),
  };
}

/** Its key, not its id, which is not known before it is written. */
function placeOf(deviceId: number, key: string): string {
  return `whatsapp_inbox/${deviceId}/${key}`;
}
