import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { drawFrom, type Draw } from './draw.ts';
import type { LoadOptions } from './load.ts';
import { accountOf } from './people.ts';
import { withoutIndexes } from './secondary-indexes.ts';
import { ENDINGS, FIRST_NAMES, MIDDLES, OPENINGS } from './words.ts';

/**
 * Chats and messages, a few of them very long. What the trigger on messages would have counted message by message is set
 * by one statement behind them: it compares the rows of a statement with each other, and two million are too many.
 * proof.ts compares the outcome.
 */
export async function loadConversations(db: Queries, options: LoadOptions): Promise<void> {
  await withoutIndexes(db, ['chats'], () => loadBoth(db, options));
  await linkRest(db, options);
}

async function loadBoth(db: Queries, options: LoadOptions): Promise<void> {
  await loadChats(db, options);
  await db.query(sql`
    create temporary table bench_chats as
    select account_id, id, device_id, contact_id, jid, created_at,
      (row_number() over (partition by account_id order by id) - 1)::integer as place
    from public.chats`);
  await db.query(sql`create unique index on bench_chats (account_id, place)`);
  await db.query(sql`analyze bench_chats`);
  await withoutTriggers(db, () =>
    withoutIndexes(db, ['messages'], () => loadMessages(db, options)),
  );
  await recountChats(db);
}

/** But for `derive`. Half of the time would go into looking up the keys that the rows were joined by a moment before. */
async function withoutTriggers(db: Queries, work: () => Promise<void>): Promise<void> {
  const rows = await db.query(sql`
    select tgname as name from pg_trigger where tgrelid = 'public.messages'::regclass and not tgisinternal`);
  await db.query(sql`alter table public.messages disable trigger all`);
  await db.query(sql`alter table public.messages enable always trigger derive`);
  await work();
  await db.query(sql`alter table public.messages enable trigger all`);
  for (const { name } of rows)
    await db.query(sql`alter table public.messages enable always trigger ${ident(name ?? '')}`);
}

async function loadChats(db: Queries, { seed, volume }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`contact.id`, seed, 5);
  await db.query(sql`
    insert into public.chats (account_id, device_id, contact_id, jid, name, last_read_at, is_archived, is_pinned,
      created_at, updated_at)
    select contact.account_id, device.id, contact.id, coalesce(contact.jid, contact.phone || '@s.whatsapp.net'),
      case when contact.is_group or ${draw.chance(1, 0.5)} then contact.display_name end,
      case when ${draw.chance(2, 0.85)} then now() when ${draw.chance(3, 0.8)}
        then now() - interval '60 days' * ${draw.between(4, 3)} end,
      ${draw.chance(5, 0.1)}, ${draw.chance(6, 0.01)}, contact.created_at, contact.created_at
    from (
      select account_id, id, jid, phone, is_group, display_name, created_at
      from bench_contacts
      order by pg_temp.draw(id, ${seed}::bigint)
      limit ${volume.chats}
    ) as contact
    join (select account_id, count(*)::integer as total from bench_devices group by account_id) as devices using (account_id)
    join bench_devices as device
      on device.account_id = contact.account_id and device.place = ${draw.integer(7, sql`devices.total`, 1.5)}
    order by contact.id`);
}

async function loadMessages(db: Queries, { seed, volume }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`number`, seed, 6);
  const total = volume.messages;
  await db.query(sql`
    insert into public.messages (account_id, chat_id, device_id, message_id, from_jid, from_name, body, message_type, is_from_me,
      status, sent_at, created_at, updated_at, quoted_body)
    select account_id, chat_id, device_id, '3EB0' || upper(left(md5(${seed}::integer || '-' || number), 18)),
      case when not is_from_me then jid end, case when not is_from_me then ${draw.oneOf(10, FIRST_NAMES)} end,
      case when message_type = 'text' or ${draw.chance(11, 0.3)} then ${bodyOf(draw)} end, message_type, is_from_me,
      case when not is_from_me then 'received' else (array['read', 'delivered', 'sent', 'failed'])[1 + ${draw.integer(12, 4, 3)}] end,
      sent_at, sent_at, sent_at, case when ${draw.chance(13, 0.03)} then ${draw.oneOf(14, MIDDLES)} end
    from (
      select number, wanted.account_id, chat.id as chat_id, chat.device_id, chat.jid, ${draw.chance(3, 0.45)} as is_from_me,
        (array['text', 'image', 'audio', 'sticker', 'document', 'video'])[1 + ${draw.integer(4, 6, 12)}] as message_type,
        now() - interval '1 year' * ((${total}::integer - number)::double precision / ${total}::integer) as sent_at
      from (
        select number, ${accountOf(draw.between(1))} as account_id
        from generate_series(1::bigint, ${total}::bigint) as number
      ) as wanted
      join (select account_id, count(*)::integer as total from bench_chats group by account_id) as chats using (account_id)
      join bench_chats as chat
        on chat.account_id = wanted.account_id and chat.place = ${draw.integer(2, sql`chats.total`, 3)}
      order by number
    ) as placed`);
}

/** One, two or three phrases, now and then with a number in them. */
function bodyOf(draw: Draw) {
  return sql`
    ${draw.oneOf(20, OPENINGS)}
      || case when ${draw.chance(21, 0.75)} then ', ' || ${draw.oneOf(22, MIDDLES)} else '' end
      || case when ${draw.chance(23, 0.25)} then ' ' || (10 + ${draw.integer(24, 99_990)})::text else '' end
      || case when ${draw.chance(25, 0.3)} then '. ' || ${draw.oneOf(26, MIDDLES, 1)} else '' end
      || case when ${draw.chance(27, 0.3)} then ' ' || ${draw.oneOf(28, ENDINGS)} else '' end`;
}

/** What clarin.count_messages_in would have left behind. */
async function recountChats(db: Queries): Promise<void> {
  await db.query(sql`
    update public.chats as chat
    set last_inbound_at = inbound.sent_at
    from (
      select account_id, chat_id, max(sent_at) as sent_at
      from public.messages
      where not is_from_me and target_message_id is null
      group by account_id, chat_id
    ) as inbound
    where chat.account_id = inbound.account_id and chat.id = inbound.chat_id`);
  await db.query(sql`
    select clarin.recount_chats(account_id, array_agg(id)) from public.chats group by account_id`);
  // Every chat was written three times over.
  await db.query(sql`vacuum full public.chats`);
}

async function linkRest(db: Queries, { seed }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`row.id`, seed, 7);
  await db.query(sql`
    insert into public.message_reactions (account_id, target_id, chat_id, device_id, sender_jid, emoji, reacted_at)
    select row.account_id, row.id, row.chat_id, row.device_id, coalesce(row.from_jid, 'me'), '👍', row.sent_at
    from public.messages as row
    where ${draw.chance(1, 0.01)}
    order by row.id`);
  await db.query(sql`
    insert into public.chat_tags (account_id, chat_id, tag_id)
    select row.account_id, row.id, tag.id
    from public.chats as row
    join bench_tags as tag on tag.account_id = row.account_id and tag.place = ${draw.integer(2, 20, 1.5)}
    where ${draw.chance(3, 0.6)}
    order by row.id`);
}
