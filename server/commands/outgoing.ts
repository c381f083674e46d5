import { chats } from '../../domain/entities/chats.ts';
import { messages } from '../../domain/entities/messages.ts';
import { ClarinError } from '../../domain/errors.ts';
import { readEntity } from '../../platform/entity-sql.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { noteOfOutgoing } from '../../platform/whatsapp-notes.ts';

/**
 * What every command that sends has in common. To send is to write a row in state pending: the worker that holds the
 * device takes it from there. A `clientId` that was used before in this chat answers the row it made then, whatever has
 * happened to it since.
 */
export type Sender = Reach & {
  readonly actorId: number;
  readonly clientId?: string | undefined;
};

/** A message that is answered, reacted to, edited or taken back. */
export type Target = {
  readonly id: number;
  readonly stanzaId: string;
  readonly type: string;
  /** Who wrote it, as WhatsApp names them. Undefined: us, by a device that does not know its address yet. */
  readonly author: string | undefined;
  /** The beginning of its text. */
  readonly text: string | undefined;
  readonly isFromMe: boolean;
  readonly isRevoked: boolean;
  readonly isFailed: boolean;
  /** It may still be edited. */
  readonly isRecent: boolean;
};

/** Where something is sent to. */
export type Place = {
  readonly chatId: number;
  readonly deviceId: number | undefined;
  readonly isBarred: boolean;
  readonly target: Target | undefined;
  /** What this clientId made before. */
  readonly earlier: { readonly id: number; readonly chatId: number } | undefined;
};

export type Where = { readonly chatId?: number; readonly targetId?: number | undefined };

/** How long a text may be edited, as WhatsApp has it. */
const EDIT_MINUTES = 15;
const QUOTED_CHARACTERS = 1_000;

/**
 * The chat with this id, or the one of the message `targetId`, with that message. One statement.
 * @throws ClarinError not_found: there is no such chat, or with a target alone no such message.
 */
export async function readPlace(
  tx: Queries,
  sender: Omit<Sender, 'actorId'>,
  { chatId, targetId }: Where,
): Promise<Place> {
  const { accountId, clientId } = sender;
  const [row] = await tx.query(sql`
    select chat.id as chat_id, chat.device_id, contact.do_not_contact,
      earlier.id as earlier_id, earlier.chat_id as earlier_chat_id,
      target.id as target_id, target.message_id, target.message_type, target.is_from_me, target.status,
      target.revoked_at, left(target.body, ${QUOTED_CHARACTERS}) as body,
      case when target.is_from_me then device.jid else coalesce(target.from_jid, chat.jid) end as author,
      target.sent_at > now() - make_interval(mins => ${EDIT_MINUTES}) as is_recent
    from public.chats as chat
    join public.contacts as contact on contact.account_id = chat.account_id and contact.id = chat.contact_id
    left join public.devices as device on device.account_id = chat.account_id and device.id = chat.device_id
    left join public.messages as target
      on target.account_id = chat.account_id and target.chat_id = chat.id and target.id = ${targetId ?? null}
      and target.target_message_id is null and ${inReach(messages, 'target', sender)}
    left join public.messages as earlier
      on earlier.account_id = chat.account_id and earlier.client_id = ${clientId ?? null}
    where ${inReach(chats, 'chat', sender)} and chat.id = coalesce(${chatId ?? null}::bigint, (
      select chat_id from public.messages where account_id = ${accountId} and id = ${targetId ?? null}
    ))`);
  const isThere = row && (chatId !== undefined || row['target_id'] !== null);
  if (!isThere) throw new ClarinError('not_found', 'there is no such row');
  return {
    chatId: Number(row['chat_id']),
    deviceId: row['device_id'] ? Number(row['device_id']) : undefined,
    isBarred: row['do_not_contact'] === 't',
    target: targetOf(row),
    earlier: row['earlier_id']
      ? { id: Number(row['earlier_id']), chatId: Number(row['earlier_chat_id']) }
      : undefined,
  };
}

function targetOf(row: TextRow): Target | undefined {
  if (!row['target_id']) return undefined;
  return {
    id: Number(row['target_id']),
    stanzaId: row['message_id'] ?? '',
    type: row['message_type'] ?? '',
    author: row['author'] ?? undefined,
    text: row['body'] ?? undefined,
    isFromMe: row['is_from_me'] === 't',
    isRevoked: row['revoked_at'] !== null,
    isFailed: row['status'] === 'failed',
    isRecent: row['is_recent'] === 't',
  };
}

/** @throws ClarinError unprocessable, with the reason for programs in `details.reason`. */
export function refuse(reason: Refusal, details: Readonly<Record<string, unknown>> = {}): never {
  throw new ClarinError('unprocessable', REFUSALS[reason], { details: { reason, ...details } });
}

const REFUSALS = {
  no_device: 'the chat has no device to send by',
  do_not_contact: 'the contact does not want to be contacted',
  no_such_message: 'there is no such message in this chat',
  revoked: 'the message was taken back',
  not_sent: 'the message was never sent',
  not_own: 'the message was written by somebody else',
  not_text: 'only texts are edited',
  too_old: `a message is edited within ${EDIT_MINUTES} minutes`,
  no_such_file: 'there is no such file',
  not_stored: 'the file is not stored yet, or failed to be',
  not_forwardable: 'a message of this kind cannot be forwarded',
} as const;

export type Refusal = keyof typeof REFUSALS;

/** That something can be sent there. The worker asks again about the contact right before it sends. */
export function assertSendable({
  chatId,
  deviceId,
  isBarred,
}: Pick<Place, 'chatId' | 'deviceId' | 'isBarred'>): void {
  if (deviceId === undefined) refuse('no_device', { chat_id: chatId });
  if (isBarred) refuse('do_not_contact', { chat_id: chatId });
}

/** The message that something is done to. @throws ClarinError unprocessable unless WhatsApp knows it and still shows it. */
export function mustTarget({ target }: Place): Target {
  if (!target) return refuse('no_such_message');
  if (target.isRevoked) refuse('revoked');
  if (target.isFailed) refuse('not_sent');
  return target;
}

/** The message that is answered. @throws ClarinError unprocessable when it is not there, or no longer. */
export function mustQuote({ target }: Place): Target {
  if (!target) return refuse('no_such_message', { field: 'body.reply_to' });
  if (target.isRevoked) refuse('revoked', { field: 'body.reply_to' });
  return target;
}

/** Columns of a row to be sent, as far as they are not those of its chat and its sender. */
export type Outgoing = {
  readonly type: string;
  readonly body?: string | undefined;
  readonly media?: Readonly<Record<string, unknown>>;
  readonly mediaId?: number;
  readonly poll?: Readonly<Record<string, unknown>>;
  readonly quoted?: Target | undefined;
  readonly target?: Target;
};

/**
 * Writes one row in state pending and gives it back as GET shows it, JSON text. Three statements, and those of `compose`,
 * which says what is to be sent or refuses to.
 * @throws ClarinError not_found: no such chat, or with a target alone no such message; unprocessable, conflict.
 */
export async function send(
  tx: Queries,
  sender: Sender,
  where: Where,
  compose: (place: Place) => Outgoing | Promise<Outgoing>,
): Promise<string> {
  const place = await readPlace(tx, sender, where);
  if (place.earlier) return readEarlier(tx, sender, place);
  assertSendable(place);
  const id = await insertOutgoing(tx, sender, place, await compose(place));
  if (id !== undefined) return readSent(tx, sender, id);
  // Somebody else wrote it between our look and our writing.
  const { earlier } = await readPlace(tx, sender, { chatId: place.chatId });
  return readEarlier(tx, sender, { ...place, earlier });
}

/** Undefined: a row with this clientId is there already. */
async function insertOutgoing(
  tx: Queries,
  { accountId, actorId, clientId }: Sender,
  { chatId, deviceId }: Place,
  { type, body, media, mediaId, poll, quoted, target }: Outgoing,
): Promise<number | undefined> {
  const [row] = await tx.query(sql`
    insert into public.messages (
      account_id, chat_id, device_id, message_type, body, media, media_id, poll,
      quoted_message_id, quoted_from_jid, quoted_body, target_message_id,
      is_from_me, status, client_id, actor_id
    )
    values (
      ${accountId}, ${chatId}, ${deviceId}, ${type}, ${body ?? null},
      ${media ? JSON.stringify(media) : null}::jsonb, ${mediaId ?? null},
      ${poll ? JSON.stringify(poll) : null}::jsonb,
      ${quoted?.stanzaId ?? null}, ${quoted?.author ?? null}, ${quoted?.text ?? null},
      ${target?.stanzaId ?? null}, true, 'pending', ${clientId ?? null}, ${actorId}
    )
    on conflict (account_id, client_id) do nothing
    returning id, ${noteOfOutgoing}`);
  return row ? Number(row['id']) : undefined;
}

/** @throws ClarinError conflict when the clientId was used in another chat. */
async function readEarlier(tx: Queries, sender: Sender, place: Place): Promise<string> {
  const { earlier, chatId } = place;
  if (earlier?.chatId !== chatId) throw usedElsewhere(sender.clientId);
  return readSent(tx, sender, earlier.id);
}

export function usedElsewhere(clientId: string | undefined): ClarinError {
  return new ClarinError('conflict', 'this client_id was used in another chat', {
    details: { client_id: clientId },
  });
}

async function readSent(tx: Queries, { accountId }: Sender, id: number): Promise<string> {
  const json = await readEntity(tx, messages, { accountId, id });
  if (json === undefined) throw new ClarinError('internal', 'a new message is not in its account');
  return json;
}
