import type { Queries, TextRow } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { receivingOf, type Receiving } from './read-receiving.ts';
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
  /** There may be rows behind them. */
  readonly hasMore: boolean;
  /** What the device is to write down of them, as of now. */
  readonly receiving: Receiving;
  /** How long until one that has failed is due; undefined: none waits. Zero when there are rows. */
  readonly dueInMs: number | undefined;
};

/** Why a part of history stays in the inbox: it is read when a socket is there, and only then. */
export const HISTORY_WAITS = 'history: read when there is time';

/** For a page: what one worker holds in memory of one device. */
const PAGE_ROWS = 50;
const PAGE_BYTES = 1 << 20;
const ERROR_CHARACTERS = 500;

/** What passed no decryption. Rows that are there already, by their key, are left alone. */
export async function insertInbox(
  tx: Queries,
  box: SecretBox,
  owner: InboxOwner,
  stanzas: readonly DecryptedStanza[],
): Promise<void> {
  if (stanzas.length === 0) return;
  await tx.query(
    insertIntoInbox(box, owner, stanzas, sql`select ${owner.deviceId}::bigint as device_id`),
  );
}

/** The same for a statement that writes the ratchets along, for the devices that `devices` gives. */
export function insertIntoInbox(
  box: SecretBox,
  { accountId, deviceId }: InboxOwner,
  stanzas: readonly DecryptedStanza[],
  devices: Sql,
): Sql {
  const keys = stanzas.map(({ key }) => key);
  const attrs = stanzas.map((stanza) => storableJson(stanza.attrs));
  const plains = stanzas.map(({ key, plain }) => box.sealBytes(plain, placeOf(deviceId, key)));
  return sql`
    insert into private.whatsapp_inbox (account_id, device_id, key, attrs, plain)
    select ${accountId}, device.device_id, stanza.key, stanza.attrs, stanza.plain
    from (${devices}) as device
    cross join unnest(${keys}::uuid[], ${attrs}::jsonb[], ${plains}::bytea[])
      with ordinality as stanza (key, attrs, plain, place)
    order by stanza.place
    on conflict (key) do nothing`;
}

/**
 * What is due in the inbox of a device and can be written without a socket, though not without a session, which says who
 * we are: a statement for `exists`.
 */
export function inboxOf(deviceId: Sql): Sql {
  return sql`
    select from private.whatsapp_inbox as stanza
    join private.whatsapp_sessions as session on session.device_id = stanza.device_id
    where stanza.device_id = ${deviceId} and stanza.next_at <= clock_timestamp()
      and stanza.error is distinct from ${HISTORY_WAITS}`;
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
    select next.id, next.key, next.attrs, encode(next.plain, 'hex') as plain, next.attempts,
      extract(epoch from next.created_at) * 1000 as created_at_ms, next.of, device.receive_messages, device.receive_groups
    from (
      select id, key, attrs, plain, attempts, created_at, count(*) over () as of,
        sum(octet_length(plain)) over (order by id) - octet_length(plain) as bytes_before
      from (
        select id, key, attrs, plain, attempts, created_at
        from private.whatsapp_inbox
        where account_id = ${accountId} and device_id = ${deviceId} and next_at <= now()
        order by id
        limit ${PAGE_ROWS}
      ) as due
    ) as next
    left join public.devices as device on device.account_id = ${accountId} and device.id = ${deviceId}
    where next.bytes_before < ${PAGE_BYTES}
    order by next.id`);
  const [first] = rows;
  const receiving = receivingOf(first);
  if (first) {
    const hasMore = rows.length < Number(first['of']) || rows.length === PAGE_ROWS;
    return {
      rows: rows.map((row) => openRow(box, deviceId, row)),
      hasMore,
      receiving,
      dueInMs: 0,
    };
  }
  const [waiting] = await db.query(sql`
    select extract(epoch from min(next_at) - now()) * 1000 as due_in_ms
    from private.whatsapp_inbox
    where account_id = ${accountId} and device_id = ${deviceId} and next_at is not null`);
  const dueIn = waiting?.['due_in_ms'];
  return {
    rows: [],
    hasMore: false,
    receiving,
    dueInMs: dueIn ? Math.max(0, Number(dueIn)) : undefined,
  };
}

/**
 * In the transaction that makes a row what it stands for. `gone`: it is gone already, and nothing is to be done;
 * `overtaken`: receipts of this device wait for messages, maybe for this one.
 */
export async function deleteInboxRow(
  tx: Queries,
  { accountId, deviceId }: InboxOwner,
  id: number,
): Promise<'deleted' | 'overtaken' | 'gone'> {
  const [row] = await tx.query(sql`
    delete from private.whatsapp_inbox
    where account_id = ${accountId} and device_id = ${deviceId} and id = ${id}
    returning exists (
      select from private.whatsapp_parked_receipts as parked where parked.device_id = ${deviceId}
    ) as is_overtaken`);
  if (!row) return 'gone';
  return row['is_overtaken'] === 't' ? 'overtaken' : 'deleted';
}

/**
 * It has failed, or `isWaiting` for something else, which is no attempt of its own. `retryInMs` undefined: it is given
 * up, and kept for whoever looks.
 */
export async function failInboxRow(
  tx: Queries,
  { accountId, deviceId }: InboxOwner,
  id: number,
  {
    error,
    retryInMs,
    isWaiting = false,
  }: {
    readonly error: string;
    readonly retryInMs: number | undefined;
    readonly isWaiting?: boolean;
  },
): Promise<void> {
  const nextAt =
    retryInMs === undefined
      ? sql`null`
      : sql`now() + make_interval(secs => ${retryInMs / 1_000}::float8)`;
  await tx.query(sql`
    update private.whatsapp_inbox
    set attempts = least(attempts + ${isWaiting ? 0 : 1}::integer, 32767), next_at = ${nextAt},
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
