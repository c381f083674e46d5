import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { SEND_REFUSALS } from '../whatsapp/judge-send.ts';
import type { MediaSays, OutgoingRow } from '../whatsapp/outgoing-row.ts';
import { readClaimable, type ClaimOptions } from './claimable-outgoing.ts';
import { settleOutgoing } from './settle-outgoing.ts';

/**
 * The next message that a device's worker is to send is claimed: from here on it is `sending`, and whoever has the
 * device after us knows by its row in private.whatsapp_sends that it may have left. In one transaction with the claim
 * stands what must be true when it leaves: the contact may be written to, the device may begin one more conversation.
 *
 * - A chat's messages go one after the other: while one waits for WhatsApp's answer or for another try, those behind
 *   it wait. Chats do not wait for each other.
 * - One that has been claimed before is claimed again when WhatsApp has not answered in time, or when the worker that
 *   claimed it is gone. It goes by the same stanza id, which recipients show once.
 * - Who would begin more conversations within a day than the device may keeps the message `pending`, and `error` says
 *   why. It goes as soon as it may, or when the other one writes.
 * - What has waited for its device for more than a day is not sent any more: nobody wants `see you in ten minutes` to
 *   come tomorrow. What waits for its turn to begin a conversation is given three.
 */
export type Claimed = {
  readonly row: OutgoingRow;
  /** How often it was claimed, this time included. */
  readonly attempts: number;
  /** Nothing was ever said in the chat: whether the number is on WhatsApp is not known. */
  readonly isNewChat: boolean;
};

export type ClaimOutcome = {
  /** Undefined: there is nothing to send now. */
  readonly claimed: Claimed | undefined;
  /** There may be more to claim. */
  readonly hasMore: boolean;
};

/** Rows that one claim passes by because they cannot be sent. */
const LOOKS_MAX = 20;
/** How often it is tried, before it is said that nobody knows. */
export const ATTEMPTS_MAX = 5;
/** How long an answer is waited for; with every attempt twice as long. */
export const ANSWER_SECONDS = 30;

/** @throws ClarinError timeout, conflict, unavailable: nothing was written. */
export async function claimOutgoing(tx: Queries, options: ClaimOptions): Promise<ClaimOutcome> {
  for (let look = 0; look < LOOKS_MAX; look++) {
    const row = await readClaimable(tx, options);
    if (!row) return { claimed: undefined, hasMore: false };
    const verdict = judgeClaim(row);
    const id = Number(row['id']);
    if (verdict === 'claim') return { claimed: await claim(tx, options, row), hasMore: true };
    if (verdict === 'hold') await hold(tx, options, id);
    else await settleOutgoing(tx, options, [{ id, kind: 'failed', ...verdict }]);
  }
  return { claimed: undefined, hasMore: true };
}

type Verdict = 'claim' | 'hold' | { readonly reason: string };

/** Whether a candidate may leave. */
function judgeClaim(row: TextRow): Verdict {
  const is = (name: string): boolean => row[name] === 't';
  if (Number(row['attempts'] ?? 0) >= ATTEMPTS_MAX) return { reason: SEND_REFUSALS.unknown };
  if (is('is_too_old')) {
    if (row['status'] !== 'pending') return { reason: SEND_REFUSALS.unknown };
    return { reason: row['error'] === null ? SEND_REFUSALS.too_old : SEND_REFUSALS.no_turn };
  }
  if (is('do_not_contact')) return { reason: SEND_REFUSALS.do_not_contact };
  const target = row['target_message_id'] === null ? undefined : judgeTarget(row);
  if (target) return target;
  if (is('needs_file')) {
    if (row['file_state'] === null) return { reason: SEND_REFUSALS.file_gone };
    if (row['file_state'] === 'failed') return { reason: SEND_REFUSALS.file_not_fetched };
  }
  return is('is_first') && !is('may_begin') ? 'hold' : 'claim';
}

function judgeTarget(row: TextRow): Verdict | undefined {
  if (row['target_status'] === null) return { reason: SEND_REFUSALS.target_gone };
  if (row['target_status'] === 'failed') return { reason: SEND_REFUSALS.target_not_sent };
  if (row['target_is_revoked'] === 't') return { reason: SEND_REFUSALS.target_revoked };
  return undefined;
}

/** It stays pending and says why. */
async function hold(
  tx: Queries,
  { accountId, newChatsPerDay }: ClaimOptions,
  id: number,
): Promise<void> {
  const says = `Waits: this device has begun ${newChatsPerDay} new conversations within a day, as many as are safe.`;
  await tx.query(sql`
    update public.messages
    set error = ${says}
    where account_id = ${accountId} and id = ${id} and status = 'pending'`);
}

async function claim(
  tx: Queries,
  { accountId, deviceId }: ClaimOptions,
  row: TextRow,
): Promise<Claimed> {
  const id = Number(row['id']);
  const first: Sql = sql`
    insert into private.whatsapp_first_contacts (device_id, chat_id, account_id)
    select ${deviceId}, ${Number(row['chat_id'])}, ${accountId}
    where ${row['is_first'] === 't'}
    on conflict (device_id, chat_id) do nothing`;
  const [send] = await tx.query(sql`
    with claimed as (
      update public.messages
      set status = 'sending'
      where account_id = ${accountId} and id = ${id} and status = 'pending'
    ), begun as (${first})
    insert into private.whatsapp_sends as send (message_id, account_id, device_id, attempts, next_at)
    values (${id}, ${accountId}, ${deviceId}, 1, clock_timestamp() + make_interval(secs => ${ANSWER_SECONDS}))
    on conflict (message_id) do update
    set attempts = send.attempts + 1,
      next_at = clock_timestamp() + make_interval(secs => ${ANSWER_SECONDS} * power(2, send.attempts))
    returning send.attempts`);
  return {
    row: outgoingOf(row),
    attempts: Number(send?.['attempts']),
    isNewChat: row['is_new'] === 't',
  };
}

function outgoingOf(row: TextRow): OutgoingRow {
  return {
    id: Number(row['id']),
    chatId: Number(row['chat_id']),
    jid: row['jid'] ?? '',
    stanzaId: row['message_id'] ?? '',
    type: row['message_type'] ?? '',
    body: row['body'] ?? undefined,
    media: objectOf<MediaSays>(row['media']),
    file: fileOf(row),
    poll: objectOf<OutgoingRow['poll']>(row['poll']),
    location: objectOf<OutgoingRow['location']>(row['location']),
    quoted: quotedOf(row),
    target: targetOf(row),
    isForwarded: row['is_forwarded'] === 't',
  };
}

function quotedOf(row: TextRow): OutgoingRow['quoted'] {
  const stanzaId = row['quoted_message_id'] ?? undefined;
  // What was taken back meanwhile is not shown again by its answer.
  if (stanzaId === undefined || row['quoted_is_revoked'] === 't') return undefined;
  return {
    stanzaId,
    author: row['quoted_from_jid'] ?? undefined,
    text: row['quoted_body'] ?? undefined,
    type: row['quoted_type'] ?? undefined,
    media: objectOf<MediaSays>(row['quoted_media']),
  };
}

function targetOf(row: TextRow): OutgoingRow['target'] {
  const stanzaId = row['target_message_id'] ?? undefined;
  if (stanzaId === undefined) return undefined;
  return {
    stanzaId,
    isFromMe: row['target_is_from_me'] === 't',
    author: row['target_from_jid'] ?? undefined,
  };
}

function fileOf(row: TextRow): OutgoingRow['file'] {
  if (!row['file_id']) return undefined;
  return {
    id: Number(row['file_id']),
    objectKey: row['file_object_key'] ?? '',
    mimetype: row['file_mimetype'] ?? 'application/octet-stream',
    filename: row['file_filename'] ?? undefined,
    size: Number(row['file_size']),
  };
}

function objectOf<T>(text: string | null | undefined): T {
  return JSON.parse(text ?? '{}') as T;
}
