import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { dropFiles } from './drop-files.ts';

type Options = {
  readonly accountId: number;
  /** All of one device and with one person, whose every address is in `jids`. */
  readonly chatIds: readonly number[];
  /** The address the chat has from now on, first, and every other that the person goes by. */
  readonly jids: readonly string[];
};

type Merge = {
  readonly accountId: number;
  readonly kept: number;
  readonly losers: number[];
  readonly jid: string;
  /** Names under which the person stands in the chats until now. */
  readonly formerJids: string[];
};

/**
 * Chats with one person, by two addresses, become the one with the lowest id. A message that came by both stays once,
 * the one that says more, with everybody's reactions and votes; what was read stays read. Tags are joined; it is pinned
 * when one was, archived when all were. Preview and counters are kept by the triggers. Gives its id; undefined: fewer
 * than two are there (any more).
 *
 * The caller has locked the person's identities and contact, in that order, if it needs them: chats come after them, and
 * before messages, as for everybody else.
 */
export async function mergeChats(tx: Queries, options: Options): Promise<number | undefined> {
  const { accountId } = options;
  const rows = await tx.query(sql`
    select id, jid
    from public.chats
    where account_id = ${accountId} and id = any(${[...options.chatIds]}::bigint[])
    order by id
    for update`);
  const [kept, ...losers] = rows.map((row) => Number(row['id']));
  const [jid] = options.jids;
  if (kept === undefined || losers.length === 0 || jid === undefined) return undefined;
  const known = [...options.jids, ...rows.map((row) => row['jid'] ?? '')];
  const formerJids = [...new Set(known)].filter((one) => one !== jid && !one.endsWith('@g.us'));
  const merge = { accountId, kept, losers, jid, formerJids };
  await dropDoubles(tx, merge);
  await moveMessages(tx, merge);
  await renamePerson(tx, merge);
  await joinLinks(tx, merge);
  await joinChats(tx, merge);
  await applyActions(tx, merge);
  return kept;
}

/** Of one stanza in both chats the row stays that can be read, then the one that is further, then the kept chat's. */
async function dropDoubles(tx: Queries, { accountId, kept, losers }: Merge): Promise<void> {
  const doubles = await tx.query(sql`
    select message.id, message.media_id, first_value(message.id) over one_stanza as stays_id
    from public.messages as message
    where message.account_id = ${accountId} and message.chat_id = any(${[kept, ...losers]}::bigint[])
      and message.message_id in (
        select message_id
        from public.messages
        where account_id = ${accountId} and chat_id = any(${[kept, ...losers]}::bigint[])
        group by message_id
        having count(*) > 1
      )
    window one_stanza as (
      partition by message.message_id
      order by message.message_type = 'unknown', clarin.message_rank(message.status) desc,
        message.chat_id <> ${kept}, message.id
    )
    order by message.id`);
  const dropped = doubles.filter((row) => row['id'] !== row['stays_id']);
  if (dropped.length === 0) return;
  const ids = numbersOf(dropped, 'id');
  const stay = numbersOf(dropped, 'stays_id');
  await tx.query(sql`
    insert into public.message_reactions as known (
      account_id, target_id, chat_id, device_id, sender_jid, emoji, reacted_at
    )
    select distinct on (stays.id, reaction.sender_jid) reaction.account_id, stays.id, stays.chat_id, stays.device_id,
      reaction.sender_jid, reaction.emoji, reaction.reacted_at
    from unnest(${ids}::bigint[], ${stay}::bigint[]) as double (id, stays_id)
    join public.messages as stays on stays.account_id = ${accountId} and stays.id = double.stays_id
    join public.message_reactions as reaction
      on reaction.account_id = ${accountId} and reaction.target_id = double.id
    order by stays.id, reaction.sender_jid, reaction.reacted_at desc
    on conflict (account_id, target_id, sender_jid) do update
    set emoji = excluded.emoji, reacted_at = excluded.reacted_at
    where known.reacted_at < excluded.reacted_at`);
  await tx.query(sql`
    insert into public.poll_votes as known (
      account_id, target_id, chat_id, device_id, voter_jid, options, voted_at
    )
    select distinct on (stays.id, vote.voter_jid) vote.account_id, stays.id, stays.chat_id, stays.device_id,
      vote.voter_jid, vote.options, vote.voted_at
    from unnest(${ids}::bigint[], ${stay}::bigint[]) as double (id, stays_id)
    join public.messages as stays on stays.account_id = ${accountId} and stays.id = double.stays_id
    join public.poll_votes as vote on vote.account_id = ${accountId} and vote.target_id = double.id
    order by stays.id, vote.voter_jid, vote.voted_at desc
    on conflict (account_id, target_id, voter_jid) do update
    set options = excluded.options, voted_at = excluded.voted_at
    where known.voted_at < excluded.voted_at`);
  await tx.query(sql`
    update public.campaign_recipients as recipient
    set message_id = double.stays_id
    from unnest(${ids}::bigint[], ${stay}::bigint[]) as double (id, stays_id)
    where recipient.account_id = ${accountId} and recipient.message_id = double.id`);
  await tx.query(sql`
    delete from public.messages where account_id = ${accountId} and id = any(${ids}::bigint[])`);
  await dropFiles(tx, accountId, numbersOf(dropped, 'media_id'));
}

/** What was read in its own chat is read in the other one too, whichever was looked at last. */
async function moveMessages(tx: Queries, { accountId, kept, losers }: Merge): Promise<void> {
  await tx.query(sql`
    with moving as materialized (
      select message.id, not message.is_from_me and message.status = 'received'
          and message.sent_at <= chat.last_read_at as is_read
      from public.messages as message
      join public.chats as chat on chat.account_id = message.account_id and chat.id = message.chat_id
      where message.account_id = ${accountId} and message.chat_id = any(${losers}::bigint[])
      order by message.id
      for no key update of message
    )
    update public.messages as message
    set chat_id = ${kept}, status = case when moving.is_read then 'read' else message.status end
    from moving
    where message.account_id = ${accountId} and message.id = moving.id`);
}

/** One name for a person in a chat: by it a reaction finds the one it replaces. */
async function renamePerson(
  tx: Queries,
  { accountId, kept, jid, formerJids }: Merge,
): Promise<void> {
  await tx.query(sql`
    update public.messages
    set from_jid = ${jid}
    where account_id = ${accountId} and chat_id = ${kept} and from_jid = any(${formerJids}::text[])`);
  const names = [jid, ...formerJids];
  await tx.query(sql`
    delete from public.message_reactions as older
    using public.message_reactions as newer
    where older.account_id = ${accountId} and older.chat_id = ${kept} and older.sender_jid = any(${names}::text[])
      and newer.account_id = ${accountId} and newer.target_id = older.target_id
      and newer.sender_jid = any(${names}::text[])
      and (older.reacted_at, older.id) < (newer.reacted_at, newer.id)`);
  await tx.query(sql`
    update public.message_reactions
    set sender_jid = ${jid}
    where account_id = ${accountId} and chat_id = ${kept} and sender_jid = any(${formerJids}::text[])`);
  await tx.query(sql`
    delete from public.poll_votes as older
    using public.poll_votes as newer
    where older.account_id = ${accountId} and older.chat_id = ${kept} and older.voter_jid = any(${names}::text[])
      and newer.account_id = ${accountId} and newer.target_id = older.target_id
      and newer.voter_jid = any(${names}::text[])
      and (older.voted_at, older.id) < (newer.voted_at, newer.id)`);
  await tx.query(sql`
    update public.poll_votes
    set voter_jid = ${jid}
    where account_id = ${accountId} and chat_id = ${kept} and voter_jid = any(${formerJids}::text[])`);
}

async function joinLinks(tx: Queries, { accountId, kept, losers }: Merge): Promise<void> {
  await tx.query(sql`
    insert into public.chat_tags (account_id, chat_id, tag_id)
    select distinct ${accountId}::bigint, ${kept}::bigint, tag_id
    from public.chat_tags
    where account_id = ${accountId} and chat_id = any(${losers}::bigint[])
    order by tag_id
    on conflict (account_id, chat_id, tag_id) do nothing`);
  await tx.query(sql`
    insert into private.whatsapp_first_contacts as known (account_id, device_id, chat_id, created_at)
    select ${accountId}::bigint, device_id, ${kept}::bigint, min(created_at)
    from private.whatsapp_first_contacts
    where account_id = ${accountId} and chat_id = any(${losers}::bigint[])
    group by device_id
    on conflict (device_id, chat_id) do nothing`);
  // Nobody is in a campaign twice by one conversation.
  await tx.query(sql`
    update public.campaign_recipients as recipient
    set chat_id = ${kept}
    where account_id = ${accountId} and id in (
      select distinct on (campaign_id) id
      from public.campaign_recipients
      where account_id = ${accountId} and chat_id = any(${losers}::bigint[])
      order by campaign_id, id
    ) and not exists (
      select from public.campaign_recipients
      where account_id = ${accountId} and campaign_id = recipient.campaign_id and chat_id = ${kept}
    )`);
}

/** The losers go first: the address is theirs until then. */
async function joinChats(tx: Queries, { accountId, kept, losers, jid }: Merge): Promise<void> {
  const [joined] = await tx.query(sql`
    select max(last_inbound_at) as last_inbound_at, bool_or(is_pinned) as is_pinned,
      bool_and(is_archived) as is_archived, max(muted_until) as muted_until, bool_or(is_unread) as is_unread,
      (array_agg(name order by id) filter (where name is not null))[1] as name
    from public.chats
    where account_id = ${accountId} and id = any(${[kept, ...losers]}::bigint[])`);
  await tx.query(sql`
    delete from public.chats where account_id = ${accountId} and id = any(${losers}::bigint[])`);
  await tx.query(sql`
    update public.chats
    set jid = ${jid}, last_inbound_at = ${joined?.['last_inbound_at']}, is_pinned = ${joined?.['is_pinned']},
      is_archived = ${joined?.['is_archived']}, muted_until = ${joined?.['muted_until']},
      is_unread = ${joined?.['is_unread']}, name = ${joined?.['name']}
    where account_id = ${accountId} and id = ${kept}`);
}

/** Reactions, edits and revocations that stood in one chat, and what they are about in the other. */
async function applyActions(tx: Queries, { accountId, kept }: Merge): Promise<void> {
  await tx.query(sql`
    select clarin.apply_message_actions(${accountId}, array_agg(id order by id))
    from public.messages
    where account_id = ${accountId} and chat_id = ${kept} and target_message_id is not null
      and clarin.is_done(status)
    having count(*) > 0`);
}

function numbersOf(rows: readonly TextRow[], column: string): number[] {
  return rows.flatMap((row) => (row[column] ? [Number(row[column])] : []));
}
