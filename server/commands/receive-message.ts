import { parseJid } from '../../domain/jid.ts';
import { createMediaKey } from '../../platform/media/key.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { openFirstLead } from './open-first-lead.ts';
import { placeOf, type Place } from './receive-place.ts';
import { columnsOf, storableFile, type ReceivedContent } from './received-content.ts';
import { storableText } from './storable-text.ts';

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  /** Whom the chat is with: a person by number or LID, or a group. */
  readonly jid: string;
  /** The other address of the same person, when WhatsApp says both. */
  readonly lid?: string | undefined;
  /** The stanza's id. */
  readonly messageId: string;
  /** RFC 3339. */
  readonly sentAt: string;
  /** Written by the account's own number, on the phone. */
  readonly isFromMe: boolean;
  /** In a group: who wrote it. */
  readonly from?: string | undefined;
  /**
   * In a group: every address of whoever wrote it, which has to be who wrote what could not be read under this id: others
   * of the group know the id too. Undefined: our own phone says whose it is.
   */
  readonly writers?: readonly string[] | undefined;
  /** What the writer calls themselves. */
  readonly fromName?: string | undefined;
  /** Of a chat that begins with it: a group's subject, or what the phone calls the person. */
  readonly chatName?: string | undefined;
  readonly content: ReceivedContent;
  readonly quoted?:
    | {
        readonly messageId: string;
        readonly from?: string | undefined;
        readonly text?: string | undefined;
      }
    | undefined;
  readonly isForwarded?: boolean | undefined;
  /** How far one of ours is; `sent` where nothing is said. */
  readonly status?: 'sent' | 'delivered' | 'read' | 'played' | undefined;
  /** From before the device was paired: read, and nobody's first message. */
  readonly isHistory?: boolean | undefined;
};

export type Received = {
  readonly chatId: number;
  readonly contactId: number;
  /** `known`: it was there already and nothing was written. `filled`: it was there and could not be read until now. */
  readonly outcome: 'written' | 'filled' | 'known';
  /** Undefined when it is known. */
  readonly id: number | undefined;
  /** The file to fetch. */
  readonly mediaId: number | undefined;
  /** The lead that a first message opened. */
  readonly leadId: number | undefined;
};

const NAME_MAX = 200;
const QUOTED_MAX = 1_000;

/**
 * A message that WhatsApp delivered, theirs or one of ours that was written on the phone, with everything that follows
 * from it: contact, addresses, chat, counters (by triggers), the row of its file, and a lead in the default stage when
 * a person writes for the first time. All of it in the caller's transaction, or none. The same message again writes
 * nothing, whichever address of the person it comes from.
 *
 * Two statements for a chat that is there and a message that is new, eight for the first message of a new person, three
 * for a message that was there.
 * @throws ClarinError unprocessable: no address of a person or a group, no such device. Texts are cut where their columns
 * end, so that what somebody writes is no reason to refuse it.
 */
export async function receiveMessage(tx: Queries, options: Options): Promise<Received> {
  const { accountId, content, isFromMe } = options;
  const place = await placeOf(tx, options);
  const { chatId, contactId, isNewContact } = place;
  const isFirst = place.isSilent && !isFromMe && !options.isHistory && isWritten(content);
  const leadId = isFirst
    ? await openFirstLead(tx, { accountId, contactId, isNewContact })
    : undefined;
  const said = await insertMessage(tx, options, place);
  const common = { chatId, contactId, leadId };
  if (said.id !== undefined) return { ...common, ...said, outcome: 'written' };
  const filled = content.kind === 'unknown' ? undefined : await fillPlaceholder(tx, options, place);
  if (filled) return { ...common, ...filled, outcome: 'filled' };
  return { ...common, id: undefined, mediaId: undefined, outcome: 'known' };
}

/** A message of a person, and neither a notice nor something done to another one. */
function isWritten({ kind }: ReceivedContent): boolean {
  return kind !== 'system' && kind !== 'reaction' && kind !== 'edit' && kind !== 'revoke';
}

type Said = { readonly id: number | undefined; readonly mediaId: number | undefined };

/** Undefined ids: it was there already. */
async function insertMessage(tx: Queries, options: Options, place: Place): Promise<Said> {
  const { accountId, deviceId, messageId, isFromMe, content, quoted } = options;
  const columns = columnsOf(content);
  const [row] = await tx.query(sql`
    with file as (${insertFile(options, sql`not exists (${storedMessage(options, place)})`)}), said as (
      insert into public.messages (
        account_id, chat_id, device_id, message_id, message_type, body, target_message_id, media, media_id, poll,
        location, is_from_me, from_jid, from_name, status, sent_at, quoted_message_id, quoted_from_jid, quoted_body,
        is_forwarded
      )
      values (
        ${accountId}, ${place.chatId}, ${deviceId}, ${messageId}, ${columns.message_type}, ${columns.body},
        ${columns.target_message_id}, ${columns.media}::jsonb, (select id from file), ${columns.poll}::jsonb,
        ${columns.location}::jsonb, ${isFromMe}, ${writerOf(options, place)},
        ${storableText(options.fromName, NAME_MAX) ?? null}, ${statusOf(options)}, ${options.sentAt},
        ${quoted?.messageId ?? null}, ${quoted?.from ?? null}, ${storableText(quoted?.text, QUOTED_MAX) ?? null},
        ${options.isForwarded ?? false}
      )
      on conflict (account_id, chat_id, message_id) do nothing
      returning id
    )
    select (select id from said) as id, (select id from file) as media_id`);
  const said = saidBy(row);
  if (said.id === undefined && said.mediaId !== undefined)
    await dropFile(tx, accountId, said.mediaId);
  return said;
}

/** What could not be read when it came takes its content now. Undefined: it could be read, and stays as it is. */
async function fillPlaceholder(
  tx: Queries,
  options: Options,
  place: Place,
): Promise<Said | undefined> {
  const { accountId, messageId, isFromMe, content, writers } = options;
  const columns = columnsOf(content);
  const isTheirs = writers
    ? sql`(from_jid is null or from_jid = any(${[...writers]}::text[]))`
    : sql`true`;
  const placeholder = sql`
    ${storedMessage(options, place)} and message_type = 'unknown' and is_from_me = ${isFromMe} and ${isTheirs}`;
  const [row] = await tx.query(sql`
    with file as (${insertFile(options, sql`exists (${placeholder})`)}), said as (
      update public.messages as message
      set message_type = ${columns.message_type}, body = ${columns.body},
        target_message_id = ${columns.target_message_id}, media = ${columns.media}::jsonb,
        media_id = (select id from file), poll = ${columns.poll}::jsonb, location = ${columns.location}::jsonb
      where message.account_id = ${accountId} and message.chat_id = ${place.chatId}
        and message.message_id = ${messageId} and message.message_type = 'unknown'
        and message.is_from_me = ${isFromMe} and message.revoked_at is null and ${isTheirs}
      returning message.id
    )
    select (select id from said) as id, (select id from file) as media_id`);
  const said = saidBy(row);
  if (said.id !== undefined) return said;
  if (said.mediaId !== undefined) await dropFile(tx, accountId, said.mediaId);
  return undefined;
}

function storedMessage({ accountId, messageId }: Options, { chatId }: Place): Sql {
  return sql`
    select from public.messages
    where account_id = ${accountId} and chat_id = ${chatId} and message_id = ${messageId}`;
}

/** The row of the file, if the message has one and `condition` holds. */
function insertFile({ accountId, deviceId, content }: Options, condition: Sql): Sql {
  if (!('file' in content)) return sql`select null::bigint as id`;
  const { mimetype, filename, size } = storableFile(content.file);
  return sql`
    insert into public.media (account_id, device_id, object_key, mimetype, filename, size)
    select ${accountId}, ${deviceId}, ${createMediaKey(accountId)}, ${mimetype}, ${filename ?? null}, ${size}::integer
    where ${condition}
    returning id`;
}

/** Somebody else wrote the message between our look and our writing, with its file. */
async function dropFile(tx: Queries, accountId: number, id: number): Promise<void> {
  await tx.query(sql`delete from public.media where account_id = ${accountId} and id = ${id}`);
}

function saidBy(row: Readonly<Record<string, string | null>> | undefined): Said {
  return {
    id: row?.['id'] ? Number(row['id']) : undefined,
    mediaId: row?.['media_id'] ? Number(row['media_id']) : undefined,
  };
}

/** One name for everybody in a chat, by which their reactions are told apart. Null: us. */
function writerOf({ isFromMe, from }: Options, { jid }: Place): string | null {
  if (isFromMe) return null;
  if (!jid.endsWith('@g.us')) return jid;
  return from === undefined ? null : (parseJid(from)?.address ?? null);
}

function statusOf({ isFromMe, isHistory, status, content }: Options): string {
  if (isFromMe) return status ?? 'sent';
  return isHistory || content.kind === 'system' ? 'read' : 'received';
}
