import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

/** A chat that was read here, which WhatsApp does not know yet. */
export type UntoldRead = {
  readonly chatId: number;
  /** Of the note: it goes when nobody has read more meanwhile. */
  readonly version: number;
  readonly jid: string;
  /** Who wrote it, in a group. */
  readonly messages: readonly { readonly stanzaId: string; readonly author: string | undefined }[];
};

/** Messages of one chat: whoever has not looked for so long has not read those before them either. */
const MESSAGES_MAX = 300;

/**
 * Chats of a device whose `last_read_at` has moved, with what was received up to there and was not read on the phone
 * before. Noted by a trigger with the change itself, so that no reading is missed, whoever writes it.
 */
export async function readUntoldReads(
  db: Queries,
  { accountId, deviceId, max }: Owner & { readonly max: number },
): Promise<UntoldRead[]> {
  const rows = await db.query(sql`
    select noted.chat_id, noted.version, chat.jid, read.messages
    from private.whatsapp_reads as noted
    join public.chats as chat on chat.account_id = ${accountId} and chat.id = noted.chat_id
    cross join lateral (
      select json_agg(json_build_array(message.message_id, message.from_jid) order by message.sent_at) as messages
      from (
        select message_id, from_jid, sent_at
        from public.messages
        where account_id = ${accountId} and chat_id = chat.id and target_message_id is null and not is_from_me
          and status = 'received' and sent_at > noted.read_after and sent_at <= chat.last_read_at
        order by sent_at desc
        limit ${MESSAGES_MAX}
      ) as message
    ) as read
    where noted.account_id = ${accountId} and noted.device_id = ${deviceId}
    order by noted.chat_id
    limit ${max}`);
  return rows.map((row) => {
    const messages = JSON.parse(row['messages'] ?? '[]') as [string, string | null][];
    return {
      chatId: Number(row['chat_id']),
      version: Number(row['version']),
      jid: row['jid'] ?? '',
      messages: messages.map(([stanzaId, author]) => ({ stanzaId, author: author ?? undefined })),
    };
  });
}

/** WhatsApp was told. What was read meanwhile is still noted, and is told next. */
export async function forgetReads(
  tx: Queries,
  { accountId, deviceId }: Owner,
  reads: readonly UntoldRead[],
): Promise<void> {
  await tx.query(sql`
    delete from private.whatsapp_reads as noted
    using unnest(
      ${reads.map(({ chatId }) => chatId)}::bigint[], ${reads.map(({ version }) => version)}::integer[]
    ) as told (chat_id, version)
    where noted.account_id = ${accountId} and noted.device_id = ${deviceId} and noted.chat_id = told.chat_id
      and noted.version = told.version`);
}
