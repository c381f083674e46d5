import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { updateMessageStatus } from './update-message-status.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

/** A receipt whose message is not there (yet). */
export type ParkedReceipt = {
  readonly messageId: string;
  /** Whom the chat is with. */
  readonly jid: string;
  readonly status: 'sent' | 'delivered' | 'read' | 'played';
  /** Our own phone says so: kept as WhatsApp says it, `read-self`. */
  readonly isOurs: boolean;
  /** RFC 3339. */
  readonly at: string;
};

const SELF = '-self';
const keptStatus = ({ status, isOurs }: ParkedReceipt): string =>
  isOurs ? `${status}${SELF}` : status;

/** Kept until its message comes, for a week (server/ingest/purge.ts). The same again writes nothing. One statement. */
export async function parkReceipts(
  tx: Queries,
  { accountId, deviceId, receipts }: Owner & { readonly receipts: readonly ParkedReceipt[] },
): Promise<void> {
  if (receipts.length === 0) return;
  await tx.query(sql`
    insert into private.whatsapp_parked_receipts (device_id, account_id, message_id, jid, status, at)
    select distinct on (given.message_id, given.jid, given.status)
      ${deviceId}::bigint, ${accountId}::bigint, given.message_id, given.jid, given.status, given.at
    from unnest(
      ${receipts.map(({ messageId }) => messageId)}::text[], ${receipts.map(({ jid }) => jid)}::text[],
      ${receipts.map(keptStatus)}::text[], ${receipts.map(({ at }) => at)}::timestamptz[]
    ) as given (message_id, jid, status, at)
    order by given.message_id, given.jid, given.status, given.at
    on conflict (device_id, message_id, jid, status) do nothing`);
}

/** Of messages that have come, or of people of whom another address is known now. */
type Applying = Owner &
  ({ readonly messageIds: readonly string[] } | { readonly jids: readonly string[] });

/**
 * What was said of messages before they were there, or of a chat under an address that was not known to be its. To be
 * called in the transaction that writes the messages, after they are written. One statement when nothing was.
 */
export async function applyParkedReceipts(tx: Queries, applying: Applying): Promise<void> {
  const { accountId, deviceId } = applying;
  const which =
    'jids' in applying
      ? sql`jid = any(${[...applying.jids]}::text[])`
      : sql`message_id = any(${[...applying.messageIds]}::text[])`;
  const rows = await tx.query(sql`
    select message_id, jid, status, at
    from private.whatsapp_parked_receipts
    where account_id = ${accountId} and device_id = ${deviceId} and ${which}
    order by message_id, at`);
  if (rows.length === 0) return;
  const parked = rows.map(readReceipt);
  const { unknown } = await updateMessageStatus(tx, { accountId, deviceId, reports: parked });
  const still = new Set<unknown>(unknown);
  const done = parked.filter((receipt) => !still.has(receipt));
  await tx.query(sql`
    delete from private.whatsapp_parked_receipts as parked
    using unnest(
      ${done.map(({ messageId }) => messageId)}::text[], ${done.map(({ jid }) => jid)}::text[],
      ${done.map(keptStatus)}::text[]
    ) as done (message_id, jid, status)
    where parked.account_id = ${accountId} and parked.device_id = ${deviceId}
      and parked.message_id = done.message_id and parked.jid = done.jid and parked.status = done.status`);
}

function readReceipt(row: TextRow): ParkedReceipt {
  const kept = row['status'] ?? 'sent';
  const isOurs = kept.endsWith(SELF);
  return {
    messageId: row['message_id'] ?? '',
    jid: row['jid'] ?? '',
    status: (isOurs ? kept.slice(0, -SELF.length) : kept) as ParkedReceipt['status'],
    isOurs,
    at: row['at'] ?? '',
  };
}
