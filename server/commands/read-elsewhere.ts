import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chatJids, contactsWith, readAddresses } from './addresses.ts';
import { markChatRead } from './mark-chat-read.ts';

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly jid: string;
  readonly lid?: string | undefined;
  /** Stanzas that were read. */
  readonly messageIds: readonly string[];
};

/**
 * Somebody has read a chat on the phone: it is read up to the newest of these messages, as a phone that names one of them
 * means all before it. Nothing for messages that are not there.
 */
export async function readElsewhere(tx: Queries, options: Options): Promise<void> {
  const { accountId, deviceId, messageIds } = options;
  const addresses = readAddresses(options);
  const rows = await tx.query(sql`
    select chat.id, max(message.sent_at) as up_to
    from public.chats as chat
    join public.messages as message
      on message.account_id = chat.account_id and message.chat_id = chat.id
      and message.message_id = any(${[...messageIds]}::text[]) and not message.is_from_me
    where chat.account_id = ${accountId} and chat.device_id = ${deviceId}
      and (chat.jid = any(${chatJids(addresses)}::text[]) or chat.contact_id in (
        ${contactsWith(accountId, addresses)}
      ))
    group by chat.id
    order by chat.id`);
  for (const row of rows) {
    const upTo = row['up_to'] ?? undefined;
    await markChatRead(tx, { accountId, chatId: Number(row['id']), isRead: true, upTo });
  }
}
