import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

type Options = {
  readonly accountId: number;
  readonly devices?: readonly number[] | undefined;
  readonly chatId: number;
  /** False: marked as unread by hand, as a reminder; the count stays what it is. */
  readonly isRead: boolean;
};

/**
 * A chat is read up to its newest message, or marked as unread. Messages are not rewritten: what is unread is what was
 * received after `last_read_at`. Nothing is written when nothing differs. False: no such chat.
 */
export async function markChatRead(tx: Queries, options: Options): Promise<boolean> {
  const { accountId, devices, chatId, isRead } = options;
  const [known] = await tx.query(sql`
    select 1
    from public.chats
    where account_id = ${accountId} and id = ${chatId}
      and (${devices === undefined} or device_id = any(${[...(devices ?? [])]}::bigint[]))
    for no key update`);
  if (!known) return false;
  if (isRead) {
    await tx.query(sql`
      update public.chats
      set last_read_at = active_at, is_unread = false
      where account_id = ${accountId} and id = ${chatId}
        and (last_read_at is distinct from active_at or is_unread or unread_count > 0)`);
  } else {
    await tx.query(sql`
      update public.chats
      set is_unread = true
      where account_id = ${accountId} and id = ${chatId} and not is_unread`);
  }
  return true;
}
