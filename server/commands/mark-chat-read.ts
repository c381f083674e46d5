import { chats } from '../../domain/entities/chats.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

type Options = Reach & {
  readonly chatId: number;
  /** False: marked as unread by hand, as a reminder; the count stays what it is. */
  readonly isRead: boolean;
  /** Read up to this moment only (RFC 3339), as a phone says it; what came later stays unread. */
  readonly upTo?: string | undefined;
};

/**
 * A chat is read, or marked as unread. Messages are not rewritten: unread is what was received after `last_read_at`,
 * which only moves forward. One statement, which writes nothing when nothing differs. False: no such chat.
 */
export async function markChatRead(tx: Queries, options: Options): Promise<boolean> {
  const { accountId, chatId, isRead, upTo } = options;
  // Not now(): whoever reads a chat twice writes once, and what is on its way to us will be unread.
  const readAt = sql`greatest(chat.last_read_at, least(chat.last_inbound_at, ${upTo ?? null}::timestamptz))`;
  // A trigger counts anew when last_read_at moves; a mark made by hand goes in any case.
  const marked = isRead
    ? sql`
        set last_read_at = ${readAt}, is_unread = chat.unread_count > 0
        from wanted
        where chat.account_id = ${accountId} and chat.id = wanted.id
          and (chat.last_read_at is distinct from ${readAt} or chat.is_unread <> (chat.unread_count > 0))`
    : sql`
        set is_unread = true
        from wanted
        where chat.account_id = ${accountId} and chat.id = wanted.id and not chat.is_unread`;
  const rows = await tx.query(sql`
    with wanted as (
      select chat.id from public.chats as chat where ${inReach(chats, 'chat', options)} and chat.id = ${chatId}
    ), marked as (
      update public.chats as chat
      ${marked}
    )
    select id from wanted`);
  return rows.length > 0;
}
