import { chats } from '../../domain/entities/chats.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { deleteRow } from './delete-row.ts';

type Options = Reach & { id: number; ifMatch?: string | undefined };

/**
 * A conversation is deleted for good: its messages, what was done to them, and the files that came by it and are shown
 * nowhere else. Never its contact, and no file that somebody uploaded. Gives the chat as it was, JSON text.
 * @throws ClarinError not_found, precondition_failed.
 */
export async function deleteChat(tx: Queries, options: Options): Promise<string> {
  const { accountId, id } = options;
  // Locked first, as whoever writes a message locks it: nothing comes in between.
  const [chat] = await tx.query(sql`
    select chat.id, array(
      select message.media_id
      from public.messages as message
      where message.account_id = ${accountId} and message.chat_id = chat.id and message.media_id is not null
    ) as media_ids
    from public.chats as chat
    where ${inReach(chats, 'chat', options)} and chat.id = ${id}
    for update`);
  if (!chat) throw new ClarinError('not_found', 'there is no such row');
  const row = await deleteRow(tx, { entity: chats, ...options });
  await tx.query(sql`
    delete from public.media as file
    where file.account_id = ${accountId} and file.id = any(${chat['media_ids']}::bigint[])
      and file.device_id is not null and file.created_by is null
      and not exists (
        select from public.messages where account_id = ${accountId} and media_id = file.id
      )
      and not exists (
        select from public.quick_replies where account_id = ${accountId} and media_id = file.id
      )
      and not exists (
        select from public.campaigns where account_id = ${accountId} and media_id = file.id
      )`);
  return row;
}
