import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

export type ClaimOptions = {
  readonly accountId: number;
  readonly deviceId: number;
  /** Conversations that the device may begin within 24 hours. */
  readonly newChatsPerDay: number;
  /** Ids of messages that this worker is at: they are not claimed, and neither is what is behind them. */
  readonly busy: readonly number[];
};

/** What waited for its device is meant for so long. */
const WAIT_HOURS = 24;
/** And what waits for its turn to begin a conversation. */
const TURN_HOURS = 72;
/** A file that is forwarded before it was fetched itself is waited for. */
const FILE_MINUTES = 60;

/**
 * The oldest message of a device that could leave now, with all that decides whether it may; it is locked. Of each chat
 * it is the first that is not settled. One statement.
 */
export async function readClaimable(
  tx: Queries,
  options: ClaimOptions,
): Promise<TextRow | undefined> {
  const { accountId, deviceId } = options;
  const [row] = await tx.query(sql`
    with ${candidates(options)}
    select message.id, message.chat_id, message.message_id, message.message_type, message.body, message.media,
      message.poll, message.location, message.is_forwarded, message.status, message.error, message.quoted_message_id,
      message.quoted_from_jid, message.quoted_body, message.target_message_id,
      chat.jid, contact.do_not_contact, wanted.attempts, turn.may_begin,
      message.message_type in ('image', 'video', 'audio', 'document', 'sticker') as needs_file,
      wanted.since < now() - make_interval(
        hours => case when message.status = 'pending' and message.error is not null then ${TURN_HOURS}::integer else ${WAIT_HOURS}::integer end
      ) as is_too_old,
      file.id as file_id, file.object_key as file_object_key, file.mimetype as file_mimetype,
      file.filename as file_filename, file.size as file_size,
      case when file.state = 'pending' then 'failed' else file.state end as file_state,
      target.status as target_status, target.is_from_me as target_is_from_me, target.from_jid as target_from_jid,
      target.revoked_at is not null as target_is_revoked,
      quoted.message_type as quoted_type, quoted.media as quoted_media,
      quoted.revoked_at is not null as quoted_is_revoked,
      said.is_new, said.is_new and not exists (
        select from private.whatsapp_first_contacts as begun
        where begun.device_id = ${deviceId} and begun.chat_id = chat.id
      ) as is_first
    from wanted
    cross join turn
    join public.messages as message on message.account_id = ${accountId} and message.id = wanted.id
    join public.chats as chat on chat.account_id = ${accountId} and chat.id = message.chat_id
    join public.contacts as contact on contact.account_id = ${accountId} and contact.id = chat.contact_id
    left join public.media as file on file.account_id = ${accountId} and file.id = message.media_id
    left join public.messages as target
      on target.account_id = ${accountId} and target.chat_id = chat.id
      and target.message_id = message.target_message_id
    left join public.messages as quoted
      on quoted.account_id = ${accountId} and quoted.chat_id = chat.id
      and quoted.message_id = message.quoted_message_id
    cross join lateral (${novelty(options)}) as said
    where message.status in ('pending', 'sending') and (
      file.id is null or file.state <> 'pending' or message.created_at < now() - make_interval(mins => ${FILE_MINUTES})
    )
    order by message.id
    limit 1
    for no key update of message skip locked`);
  return row;
}

/**
 * `turn`: whether the device may begin one more conversation. `wanted`: of each chat the first message that is not
 * settled, where that one could leave now.
 */
function candidates({ accountId, deviceId, newChatsPerDay, busy }: ClaimOptions): Sql {
  return sql`
    turn as materialized (
      select count(*) < ${newChatsPerDay} as may_begin
      from private.whatsapp_first_contacts
      where device_id = ${deviceId} and created_at > now() - interval '24 hours'
    ), begun as materialized (
      select send.message_id, message.chat_id, send.attempts, send.next_at, send.created_at
      from private.whatsapp_sends as send
      join public.messages as message on message.account_id = ${accountId} and message.id = send.message_id
      join public.chats as chat on chat.account_id = ${accountId} and chat.id = message.chat_id
      where send.account_id = ${accountId} and send.device_id = ${deviceId} and message.status = 'sending'
        and chat.device_id = ${deviceId}
    ), heads as (
      select distinct on (chat_id) chat_id, id, error, created_at
      from public.messages
      where account_id = ${accountId} and device_id = ${deviceId} and status = 'pending'
      order by chat_id, id
    ), wanted as (
      select message_id as id, attempts, created_at as since
      from begun
      where next_at <= clock_timestamp() and message_id <> all(${[...busy]}::bigint[])
      union all
      select head.id, 0, head.created_at
      from heads as head
      cross join turn
      join public.chats as chat on chat.account_id = ${accountId} and chat.id = head.chat_id
      where chat.device_id = ${deviceId} and (head.error is null or turn.may_begin or chat.last_inbound_at is not null)
        and not exists (select from begun where begun.chat_id = head.chat_id)
    )`;
}

/** Whether nothing was ever said between the device and the `contact` of the `chat`. Groups are never new. */
function novelty({ accountId, deviceId }: ClaimOptions): Sql {
  return sql`
    select chat.jid not like '%@g.us' and not exists (
      select from public.chats as other
      where other.account_id = ${accountId} and other.contact_id = chat.contact_id and other.device_id = ${deviceId}
        and other.last_inbound_at is not null
    ) and not exists (
      select from public.messages as ours
      where ours.account_id = ${accountId} and ours.chat_id = chat.id and ours.is_from_me
        and clarin.message_rank(ours.status) >= clarin.message_rank('sent')
    ) as is_new`;
}
