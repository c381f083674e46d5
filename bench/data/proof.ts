import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

const SAMPLE = 200;
const MESSAGES_MAX = 200;

/**
 * That messages are in chats of their account, and chats what the triggers would have made of them: some are written once more, message by message,
 * beside themselves, compared and rolled back.
 * @throws Error when one differs.
 */
export async function proveConversations(db: Queries): Promise<void> {
  await db.query(sql`begin`);
  await db.query(sql`
    create temporary table bench_sample on commit drop as
    select chat.account_id, chat.id, null::bigint as copy_id, md5(chat.id::text) || '@copy' as jid
    from (
      select account_id, id from public.chats order by md5(id::text) limit ${SAMPLE}
    ) as chat
    where (
      select count(*) from public.messages as message
      where message.account_id = chat.account_id and message.chat_id = chat.id
    ) between 1 and ${MESSAGES_MAX}`);
  await db.query(sql`
    with copied as (
      insert into public.chats (account_id, device_id, contact_id, jid, last_read_at, created_at)
      select chat.account_id, chat.device_id, chat.contact_id, sample.jid, chat.last_read_at, chat.created_at
      from bench_sample as sample
      join public.chats as chat on chat.account_id = sample.account_id and chat.id = sample.id
      returning id, jid
    )
    update bench_sample set copy_id = copied.id from copied where copied.jid = bench_sample.jid`);
  const copied = await db.query(sql`
    insert into public.messages (account_id, chat_id, body, message_type, is_from_me, status, sent_at)
    select message.account_id, sample.copy_id, message.body, message.message_type, message.is_from_me, message.status,
      message.sent_at
    from bench_sample as sample
    join public.messages as message on message.account_id = sample.account_id and message.chat_id = sample.id
    order by message.id
    returning id`);
  const astray = await db.query(sql`
    select message.id
    from public.messages as message
    left join public.chats as chat on chat.account_id = message.account_id and chat.id = message.chat_id
    where chat.id is null
    limit 1`);
  const different = await db.query(sql`
    select chat.id
    from bench_sample as sample
    join public.chats as chat on chat.account_id = sample.account_id and chat.id = sample.id
    join public.chats as copy on copy.account_id = sample.account_id and copy.id = sample.copy_id
    where (chat.last_message, chat.last_message_type, chat.last_message_is_from_me, chat.last_message_at, chat.last_inbound_at,
        chat.unread_count, chat.is_unread, chat.active_at)
      is distinct from (copy.last_message, copy.last_message_type, copy.last_message_is_from_me, copy.last_message_at,
        copy.last_inbound_at, copy.unread_count, copy.is_unread, copy.active_at)`);
  await db.query(sql`rollback`);
  if (copied.length === 0 || astray.length > 0 || different.length > 0)
    throw new Error(
      `of ${SAMPLE} chats ${different.length} are not what the triggers make of them`,
    );
}
