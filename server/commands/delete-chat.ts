import { chats } from '../../domain/entities/chats.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { deleteRow } from './delete-row.ts';
import { dropFiles } from './drop-files.ts';

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
    select chat.id
    from public.chats as chat
    where ${inReach(chats, 'chat', options)} and chat.id = ${id}
    for update`);
  if (!chat) throw new ClarinError('not_found', 'there is no such row');
  // By a statement of its own: the one that waited for the lock does not see what was written meanwhile.
  const files = await tx.query(sql`
    select media_id
    from public.messages
    where account_id = ${accountId} and chat_id = ${id} and media_id is not null`);
  const row = await deleteRow(tx, { entity: chats, ...options });
  await dropFiles(
    tx,
    accountId,
    files.map((file) => Number(file['media_id'])),
  );
  return row;
}
