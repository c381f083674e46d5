import type { MESSAGE_STATUSES } from '../../domain/entities/messages.ts';
import { parseJid } from '../../domain/jid.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { chatJids, identitiesOf, readAddresses } from './addresses.ts';
import { storableText } from './storable-text.ts';

/** How far a message is: by its stanza, in the chat with `jid`, or in a chat that is known. */
type StatusReport = {
  readonly messageId: string;
  readonly status: Exclude<(typeof MESSAGE_STATUSES)[number], 'pending' | 'received'>;
  /** RFC 3339; now, where nothing is said. */
  readonly at?: string | undefined;
  /** Why it failed. */
  readonly error?: string | undefined;
  /** Our own phone says so, of what somebody else wrote. */
  readonly isOurs?: boolean;
} & ({ readonly chatId: number } | { readonly jid: string; readonly lid?: string | undefined });

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly reports: readonly StatusReport[];
};

type Moved = {
  /** Ids of the messages that moved forward. */
  readonly ids: readonly number[];
  /** Reports of messages that are not there (yet), in their order: receipts may overtake their message. */
  readonly unknown: readonly StatusReport[];
};

const ERROR_MAX = 500;

/**
 * Receipts, as they come: many at once, in any order, of one message several. A status only moves forward, and nothing
 * is written where nothing moves. A chat is found by either address of the person. Messages of others are only ever read
 * or played, and only our own phone can say that they were: whoever wrote them would hide them by it. One statement,
 * however many reports.
 *
 * Chats whose counters or messages change along are locked before the messages, as whoever receives one has them: a
 * receipt and a revocation of one message do not wait for each other.
 */
export async function updateMessageStatus(
  tx: Queries,
  { accountId, deviceId, reports }: Options,
): Promise<Moved> {
  if (reports.length === 0) return { ids: [], unknown: [] };
  const given = reports.map((report, place) => ({
    place,
    message_id: report.messageId,
    status: report.status,
    at: report.at,
    error: storableText(report.error, ERROR_MAX),
    is_ours: report.isOurs === true,
    ...chatOf(report),
  }));
  const rows = await tx.query(sql`
    with ${reportedMessages(accountId, deviceId, JSON.stringify(given))}, furthest as (
      select distinct on (known.id) known.id, known.chat_id, known.touches_chat, given.status, given.at, given.error
      from known
      join given on given.place = known.place
      where clarin.message_rank(given.status) > clarin.message_rank(known.former)
        and known.is_from_me <> given.is_ours and (known.is_from_me or given.status in ('read', 'played'))
      order by known.id, clarin.message_rank(given.status) desc, given.place
    ), held_chats as materialized (
      select chat.id
      from public.chats as chat
      where chat.account_id = ${accountId} and chat.id in (select chat_id from furthest where touches_chat)
      order by chat.id
      for no key update
    ), held as materialized (
      select message.id
      from public.messages as message
      where message.account_id = ${accountId} and message.id in (select id from furthest)
        and (select count(*) from held_chats) >= 0
      order by message.id
      for no key update
    ), moved as (
      update public.messages as message
      set status = furthest.status, status_at = coalesce(furthest.at, clock_timestamp()), error = furthest.error
      from furthest
      join held on held.id = furthest.id
      where message.account_id = ${accountId} and message.id = furthest.id
        and clarin.message_rank(furthest.status) > clarin.message_rank(message.status)
      returning message.id
    )
    select null as place, id from moved
    union all
    select given.place, null from given where given.place not in (select place from known)
    order by place, id`);
  return {
    ids: rows.flatMap((row) => (row['id'] ? [Number(row['id'])] : [])),
    unknown: rows.flatMap((row) => (row['place'] ? (reports[Number(row['place'])] ?? []) : [])),
  };
}

/** `given`, the reports by their place, and `known`, what they are of; `reports` is JSON text. */
function reportedMessages(accountId: number, deviceId: number, reports: string): Sql {
  return sql`
    given as (
      select place, message_id, status, at, error, is_ours, chat_id, jids, kinds, "values"
      from jsonb_to_recordset(${reports}::jsonb) as given (
        place integer, message_id text, status text, at timestamptz, error text, is_ours boolean, chat_id bigint,
        jids text[], kinds text[], "values" text[]
      )
    ), known as (
      select distinct given.place, message.id, message.chat_id, message.status as former, message.is_from_me,
        not message.is_from_me or message.target_message_id is not null as touches_chat
      from given
      cross join lateral (
        select id
        from public.chats
        where account_id = ${accountId} and device_id = ${deviceId} and id = given.chat_id
        union all
        select id
        from public.chats
        where account_id = ${accountId} and device_id = ${deviceId} and jid = any(given.jids)
        union all
        select of_person.id
        from unnest(given.kinds, given."values") as identity (kind, value)
        join public.contact_identities as person
          on person.account_id = ${accountId} and person.kind = identity.kind and person.value = identity.value
        join public.chats as of_person
          on of_person.account_id = ${accountId} and of_person.contact_id = person.contact_id
          and of_person.device_id = ${deviceId}
      ) as chat
      join public.messages as message
        on message.account_id = ${accountId} and message.chat_id = chat.id and message.message_id = given.message_id
    )`;
}

type Chat = { chat_id?: number; jids: string[]; kinds: string[]; values: string[] };

/** What is no address of a conversation has none: its report is of an unknown message. */
function chatOf(report: StatusReport): Chat {
  const nowhere = { jids: [], kinds: [], values: [] };
  if ('chatId' in report) return { ...nowhere, chat_id: report.chatId };
  const kind = parseJid(report.jid)?.kind;
  if (kind !== 'user' && kind !== 'lid' && kind !== 'group') return nowhere;
  const addresses = readAddresses({ jid: report.jid, lid: report.lid });
  const identities = identitiesOf(addresses);
  return {
    jids: chatJids(addresses),
    kinds: identities.map((identity) => identity.kind),
    values: identities.map(({ value }) => value),
  };
}
