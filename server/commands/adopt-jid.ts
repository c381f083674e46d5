import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chatJids, readAddresses } from './addresses.ts';
import { mergeChats } from './merge-chats.ts';
import { resolveContact } from './resolve-contact.ts';

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly chatId: number;
  /** By number, as WhatsApp has it. */
  readonly jid: string;
};

/**
 * A chat was begun with a number as it is dialled, and WhatsApp knows the number by another spelling: the chat goes by
 * that one from now on, and where the same contact has a chat by it already, the two become one. In a transaction of its
 * own, as linkAddresses.
 */
export async function adoptJid(
  tx: Queries,
  { accountId, deviceId, chatId, jid }: Options,
): Promise<void> {
  const contact = await resolveContact(tx, { accountId, jid, source: 'whatsapp' });
  const adopted = await tx.query(sql`
    update public.chats
    set jid = ${jid}
    where account_id = ${accountId} and id = ${chatId} and not exists (
      select from public.chats where account_id = ${accountId} and device_id = ${deviceId} and jid = ${jid}
    )
    returning id`);
  if (adopted.length > 0) return;
  const twins = await tx.query(sql`
    select id
    from public.chats
    where account_id = ${accountId} and device_id = ${deviceId} and contact_id = ${contact.id}
      and (jid = ${jid} or id = ${chatId})
    order by id`);
  await mergeChats(tx, {
    accountId,
    chatIds: twins.map((row) => Number(row['id'])),
    jids: chatJids(readAddresses({ jid })),
  });
}
