import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chatJids, contactsWith, readAddresses } from './addresses.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

/** What stands with a vote in the inbox that waits for its poll. */
export function waitingFor(pollId: string): string {
  return `waits for the poll ${pollId}`;
}

/** A poll has come: votes that waited for it are looked at again now. One statement. */
export async function wakeVotes(
  tx: Queries,
  { accountId, deviceId }: Owner,
  pollId: string,
): Promise<void> {
  await tx.query(sql`
    update private.whatsapp_inbox
    set next_at = now()
    where account_id = ${accountId} and device_id = ${deviceId} and error = ${waitingFor(pollId)}
      and next_at is not null`);
}

export type PollPlace = {
  readonly chatId: number;
  /** By which the chat is known, and so who it is with. */
  readonly chatJid: string;
  /** Who made it; undefined: we did, or nobody knows. */
  readonly fromJid: string | undefined;
};

/** The poll in the chat with somebody. Undefined: there is none, or not yet. */
export async function findPoll(
  db: Queries,
  {
    accountId,
    deviceId,
    pollId,
    jid,
    lid,
  }: Owner & { pollId: string; jid: string; lid?: string | undefined },
): Promise<PollPlace | undefined> {
  const addresses = readAddresses({ jid, lid });
  const [row] = await db.query(sql`
    select chat.id, chat.jid, message.from_jid
    from public.chats as chat
    join public.messages as message
      on message.account_id = chat.account_id and message.chat_id = chat.id and message.message_id = ${pollId}
    where chat.account_id = ${accountId} and chat.device_id = ${deviceId} and message.message_type = 'poll'
      and (chat.jid = any(${chatJids(addresses)}::text[]) or chat.contact_id in (
        ${contactsWith(accountId, addresses)}
      ))
    order by chat.id
    limit 1`);
  if (!row) return undefined;
  return {
    chatId: Number(row['id']),
    chatJid: row['jid'] ?? '',
    fromJid: row['from_jid'] ?? undefined,
  };
}
