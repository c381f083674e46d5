import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { SEND_REFUSALS } from '../whatsapp/judge-send.ts';
import { updateMessageStatus } from './update-message-status.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

/** How the sending of a claimed message ended; `id` is its row's. */
export type SendEnd =
  /** WhatsApp has it. `at`: RFC 3339, when. */
  | { readonly id: number; readonly kind: 'sent'; readonly at?: string | undefined }
  /** It will never be sent, and why, for people. */
  | { readonly id: number; readonly kind: 'failed'; readonly reason: string };

/**
 * Ends of sendings, many at once. Who saw the same before us (a receipt may come before the answer) has said it already:
 * then nothing is written but that the sending is over. A message that went to another chat meanwhile is looked for
 * there; one that moves in this very moment is tried again, by the same stanza, and ends then.
 */
export async function settleOutgoing(
  tx: Queries,
  owner: Owner,
  ends: readonly SendEnd[],
): Promise<void> {
  const rows = await tx.query(sql`
    select id, chat_id, message_id
    from public.messages
    where account_id = ${owner.accountId} and id = any(${ends.map(({ id }) => id)}::bigint[])`);
  const places = new Map(rows.map((row) => [Number(row['id']), row]));
  const reports = ends.flatMap((end) => {
    const place = places.get(end.id);
    if (!place) return [];
    const which = { chatId: Number(place['chat_id']), messageId: place['message_id'] ?? '' };
    const [at, error] = end.kind === 'sent' ? [end.at] : [undefined, end.reason];
    return [{ ...which, status: end.kind, at, error }];
  });
  await updateMessageStatus(tx, { ...owner, reports });
  await tx.query(sql`
    delete from private.whatsapp_sends as send
    using public.messages as message
    where send.account_id = ${owner.accountId} and send.device_id = ${owner.deviceId}
      and send.message_id = any(${[...places.keys()]}::bigint[])
      and message.account_id = ${owner.accountId} and message.id = send.message_id
      and message.status not in ('pending', 'sending')`);
  const nobodys = ends
    .filter((end) => end.kind === 'failed' && end.reason === SEND_REFUSALS.not_on_whatsapp)
    .map(({ id }) => Number(places.get(id)?.['chat_id']));
  if (nobodys.length > 0) await forgetFirstContacts(tx, owner, nobodys);
}

/** With a number that is not on WhatsApp no conversation was begun. */
async function forgetFirstContacts(
  tx: Queries,
  { accountId, deviceId }: Owner,
  chatIds: number[],
): Promise<void> {
  await tx.query(sql`
    delete from private.whatsapp_first_contacts
    where account_id = ${accountId} and device_id = ${deviceId} and chat_id = any(${chatIds}::bigint[])`);
}

export type Postponed = {
  readonly id: number;
  readonly delayMs: number;
  /** It did not leave, and that is no fault of its own. */
  readonly isUncounted: boolean;
};

/** A claimed message is claimed again after a while. */
export async function postponeOutgoing(
  tx: Queries,
  { accountId, deviceId }: Owner,
  { id, delayMs, isUncounted }: Postponed,
): Promise<void> {
  await tx.query(sql`
    update private.whatsapp_sends
    set next_at = clock_timestamp() + make_interval(secs => ${delayMs / 1_000}::float8),
      attempts = greatest(attempts - ${isUncounted ? 1 : 0}::smallint, 0)
    where account_id = ${accountId} and device_id = ${deviceId} and message_id = ${id}`);
}

/**
 * For a new connection: what the one before has begun to send and not heard of is due at once. What was tried more than
 * once keeps its time: a connection that breaks every few seconds must not use up all attempts. Notes of sendings that
 * are over go, and one that is lost is made anew.
 */
export async function recoverOutgoing(tx: Queries, { accountId, deviceId }: Owner): Promise<void> {
  await tx.query(sql`
    update private.whatsapp_sends
    set next_at = clock_timestamp()
    where account_id = ${accountId} and device_id = ${deviceId} and attempts <= 1 and next_at > clock_timestamp()`);
  await tx.query(sql`
    insert into private.whatsapp_sends (message_id, account_id, device_id, attempts)
    select id, account_id, device_id, 0
    from public.messages
    where account_id = ${accountId} and device_id = ${deviceId} and status = 'sending'
    on conflict (message_id) do nothing`);
  await tx.query(sql`
    delete from private.whatsapp_sends as send
    using public.messages as message
    where send.account_id = ${accountId} and send.device_id = ${deviceId}
      and message.account_id = ${accountId} and message.id = send.message_id and message.status <> 'sending'`);
}
