import { createMediaKey } from '../../platform/media/key.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { openChat } from './open-chat.ts';
import { columnsOf, storableFile, type ReceivedContent } from './received-content.ts';
import { storableText } from './storable-text.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

export type PastChatOptions = Owner & {
  readonly jid: string;
  readonly lid?: string | undefined;
  readonly name?: string | undefined;
  readonly isArchived: boolean;
  readonly isPinned: boolean;
};

export type OpenedPastChat = { readonly chatId: number; readonly jid: string };

/**
 * The chat that messages of before the pairing go to. One that was there stays as it is; a new one is archived or pinned
 * as on the phone. To be called in a transaction of its own: it locks a person.
 */
export async function openPastChat(tx: Queries, options: PastChatOptions): Promise<OpenedPastChat> {
  const { accountId, isArchived, isPinned } = options;
  const { id, created } = await openChat(tx, options);
  const isOther = created && (isArchived || isPinned);
  const [row] = isOther
    ? await tx.query(sql`
        update public.chats
        set is_archived = ${isArchived}, is_pinned = ${isPinned}
        where account_id = ${accountId} and id = ${id}
        returning jid`)
    : await tx.query(sql`
        select jid from public.chats where account_id = ${accountId} and id = ${id}`);
  return { chatId: id, jid: row?.['jid'] ?? options.jid };
}

export type PastRow = {
  readonly chat: OpenedPastChat;
  readonly messageId: string;
  /** RFC 3339. */
  readonly sentAt: string;
  readonly isFromMe: boolean;
  /** In a group: who wrote it. */
  readonly from?: string | undefined;
  readonly fromName?: string | undefined;
  readonly content: ReceivedContent;
  readonly quoted?:
    | {
        readonly messageId: string;
        readonly from?: string | undefined;
        readonly text?: string | undefined;
      }
    | undefined;
  readonly isForwarded: boolean;
  /** How far one of ours is. */
  readonly status: 'sent' | 'delivered' | 'read' | 'played';
  /** Its file can still be fetched. */
  readonly isFetchable: boolean;
};

type WrittenPast = {
  /** How many were not there yet. */
  readonly count: number;
  /** Files to fetch. */
  readonly files: readonly {
    readonly chatId: number;
    readonly messageId: string;
    readonly mediaId: number;
  }[];
};

const NAME_MAX = 200;
const QUOTED_MAX = 1_000;

/**
 * Messages of before the pairing, hundreds by one statement: read, and nobody's first one. Those that are there stay as
 * they are. A file that WhatsApp has no more is lost from the beginning.
 */
export async function receiveHistory(
  tx: Queries,
  { accountId, deviceId, rows }: Owner & { readonly rows: readonly PastRow[] },
): Promise<WrittenPast> {
  if (rows.length === 0) return { count: 0, files: [] };
  const given = rows.map((row, place) => describe(row, { accountId, place }));
  const written = await tx.query(sql`
    with given as materialized (
      select place, chat_id, message_id, message_type, body, target, media, poll, location, is_from_me, from_jid,
        from_name, status, sent_at, quoted_id, quoted_from, quoted_body, is_forwarded, object_key, mimetype, filename,
        size, state
      from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as given (
        place integer, chat_id bigint, message_id text, message_type text, body text, target text, media jsonb,
        poll jsonb, location jsonb, is_from_me boolean, from_jid text, from_name text, status text,
        sent_at timestamptz, quoted_id text, quoted_from text, quoted_body text, is_forwarded boolean,
        object_key text, mimetype text, filename text, size integer, state text
      )
      where not exists (
        select from public.messages as known
        where known.account_id = ${accountId} and known.chat_id = given.chat_id
          and known.message_id = given.message_id
      )
    ), file as (
      insert into public.media (account_id, device_id, object_key, mimetype, filename, size, state)
      select ${accountId}, ${deviceId}, object_key, mimetype, filename, size, state
      from given
      where object_key is not null
      returning id, object_key
    ), said as (
      insert into public.messages (
        account_id, chat_id, device_id, message_id, message_type, body, target_message_id, media, media_id, poll,
        location, is_from_me, from_jid, from_name, status, sent_at, quoted_message_id, quoted_from_jid, quoted_body,
        is_forwarded
      )
      select ${accountId}, given.chat_id, ${deviceId}, given.message_id, given.message_type, given.body, given.target,
        given.media, file.id, given.poll, given.location, given.is_from_me, given.from_jid, given.from_name,
        given.status, given.sent_at, given.quoted_id, given.quoted_from, given.quoted_body, given.is_forwarded
      from given
      left join file on file.object_key = given.object_key
      order by given.place
      on conflict (account_id, chat_id, message_id) do nothing
      returning chat_id, message_id, media_id
    )
    select said.chat_id, said.message_id, said.media_id, null as orphan_id from said
    union all
    select null, null, null, file.id
    from file
    where file.id not in (select media_id from said where media_id is not null)`);
  const orphans = written.flatMap((row) => (row['orphan_id'] ? [Number(row['orphan_id'])] : []));
  if (orphans.length > 0) {
    // Somebody wrote the message meanwhile, or it is twice in one part.
    await tx.query(sql`
      delete from public.media where account_id = ${accountId} and id = any(${orphans}::bigint[])`);
  }
  return {
    count: written.length - orphans.length,
    files: written.flatMap((row) =>
      row['media_id']
        ? [
            {
              chatId: Number(row['chat_id']),
              messageId: row['message_id'] ?? '',
              mediaId: Number(row['media_id']),
            },
          ]
        : [],
    ),
  };
}

function describe(row: PastRow, { accountId, place }: { accountId: number; place: number }) {
  const { chat, content, quoted, isFromMe } = row;
  const columns = columnsOf(content);
  const file = 'file' in content ? storableFile(content.file) : undefined;
  const state = row.isFetchable ? 'pending' : 'failed';
  const isGroup = chat.jid.endsWith('@g.us');
  const writer = isGroup ? (row.from ?? null) : chat.jid;
  return {
    place,
    chat_id: chat.chatId,
    message_id: row.messageId,
    message_type: columns.message_type,
    body: columns.body,
    target: columns.target_message_id,
    media: columns.media && { ...(JSON.parse(columns.media) as object), state },
    poll: parsed(columns.poll),
    location: parsed(columns.location),
    is_from_me: isFromMe,
    from_jid: isFromMe ? null : writer,
    from_name: storableText(row.fromName, NAME_MAX) ?? null,
    status: isFromMe ? row.status : 'read',
    sent_at: row.sentAt,
    quoted_id: quoted?.messageId ?? null,
    quoted_from: quoted?.from ?? null,
    quoted_body: storableText(quoted?.text, QUOTED_MAX) ?? null,
    is_forwarded: row.isForwarded,
    ...(file && { object_key: createMediaKey(accountId), ...file, state }),
  };
}

function parsed(json: string | null): unknown {
  return json === null ? null : (JSON.parse(json) as unknown);
}
