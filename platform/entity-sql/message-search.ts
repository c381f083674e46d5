import { z } from 'zod';
import type { Entity } from '../../domain/entity.ts';
import { messages } from '../../domain/entities/messages.ts';
import type { Queries } from '../postgres.ts';
import { column, empty, join, sql, type Sql } from '../sql.ts';
import { compileBodyWriter } from './body.ts';
import { containsPattern } from './conditions.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { parseInstant } from './instant.ts';
import { parseKeyset, type Keyset } from './keyset.ts';
import { readInteger, readSearch, type RawQuery } from './list-query.ts';
import { nextCursor } from './list.ts';
import { inReach, selectColumns, type Reach } from './scope.ts';

/** A message as a search shows it: with the conversation that it was found in. */
export const foundMessages: Entity = {
  ...messages,
  embeds: {
    ...messages.embeds,
    chat: { kind: 'one', table: 'chats', by: 'chat_id', columns: ['id', 'name', 'contact_id'] },
  },
};

export type MessageSearch = {
  readonly search: string;
  readonly chatId: number | undefined;
  readonly deviceId: number | undefined;
  /** Moments, the first inclusive and the second exclusive. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly after: Keyset | undefined;
  readonly limit: number;
};

const LIMIT = 50;
const LIMIT_MAX = 200;
/** Less makes no trigram, so that no index finds it: the search would read the whole account. */
const INDEXED = /[\p{L}\p{N}]{3}/u;
/** One chat can be read to its end. */
const CHARACTERS_MIN_OF_CHAT = 2;
const CHARACTERS_MAX = 200;
const CURSOR_MAX = 4_096;
/** Messages of an account that a search looks through before it asks the index. */
const WALKED_MAX = 5_000;
const BY = { of: 'messages', sort: 'sent_at', order: 'desc' } as const;

const text = (says: string) => z.string().max(CURSOR_MAX).optional().describe(says);

const schema = z
  .strictObject({
    search: z
      .string()
      .max(CHARACTERS_MAX)
      .describe(
        `Anywhere in the text: three letters or digits in a row at least, with chat_id any ${CHARACTERS_MIN_OF_CHAT} characters`,
      ),
    chat_id: text('Only in this chat'),
    device_id: text('Only what came or went by this device'),
    from: text('Sent from this moment on, RFC 3339'),
    to: text('Sent before this moment, RFC 3339'),
    cursor: text('next_cursor of the page before, with the same search'),
    limit: text(`Messages of a page, at most ${LIMIT_MAX}; ${LIMIT} when absent`),
  })
  .transform((raw, context): MessageSearch => {
    const problems = context.issues.length;
    const complain = (name: string, message: string): void => {
      context.issues.push({ code: 'custom', path: [name], message, input: raw });
    };
    const query = readSearchQuery(raw as RawQuery, complain);
    return context.issues.length > problems ? z.NEVER : query;
  });

/** Schema of the query string of GET /api/messages. */
export function messageSearchSchema(): z.ZodType<MessageSearch> {
  return schema;
}

function readSearchQuery(
  raw: RawQuery,
  complain: (name: string, message: string) => void,
): MessageSearch {
  const search = readSearch(raw['search'], complain, []) ?? '';
  // Counted as Postgres counts them.
  if (raw['chat_id'] === undefined) {
    if (!INDEXED.test(search))
      complain('search', 'has three letters or digits in a row, or a chat_id');
  } else if (Array.from(search).length < CHARACTERS_MIN_OF_CHAT) {
    complain('search', `has at least ${CHARACTERS_MIN_OF_CHAT} characters`);
  }
  const readId = (name: string): number | undefined => {
    const given = raw[name];
    if (given === undefined) return undefined;
    const id = /^[1-9]\d{0,15}$/.test(given) ? Number(given) : Number.NaN;
    if (!Number.isSafeInteger(id)) complain(name, 'is not an id');
    return id;
  };
  const readMoment = (name: string): string | undefined => {
    const given = raw[name];
    const moment = given === undefined ? undefined : parseInstant(given);
    if (given !== undefined && moment === undefined) complain(name, 'is not a moment in RFC 3339');
    return moment;
  };
  const limit = readInteger(raw['limit'], { min: 1, max: LIMIT_MAX, fallback: LIMIT });
  if (limit === undefined) complain('limit', `is a number from 1 to ${LIMIT_MAX}`);
  const cursor = raw['cursor'];
  const after = cursor === undefined ? undefined : parseKeyset(BY, 'timestamp', cursor);
  if (cursor !== undefined && !after) complain('cursor', 'is no next_cursor of this search');
  return {
    search,
    chatId: readId('chat_id'),
    deviceId: readId('device_id'),
    from: readMoment('from'),
    to: readMoment('to'),
    after,
    limit: limit ?? LIMIT,
  };
}

/**
 * Newest first. Words that are said often are found by walking from the newest message backwards, and would be thousands
 * in the text's index; words that are said rarely are found by that index, and walking would read every message of the
 * account. Nobody knows beforehand which they are: so the walk has an end, and only when the page is not full by then is
 * the index asked. Within one chat there is the walk alone.
 */
export function searchStatement(reach: Reach, query: MessageSearch): Sql {
  const isIndexed = query.chatId === undefined;
  const page = isIndexed
    ? sql`select id, sent_at from found`
    : findIn(reach, query, sql`public.messages`);
  return sql`
    ${isIndexed ? foundByEither(reach, query) : empty}
    select ${selectColumns(foundMessages, 'entity')}${selectEmbeds(foundMessages)}
    from (${page}) as page
    join public.messages as entity on entity.account_id = ${reach.accountId} and entity.id = page.id
    ${joinEmbeds(foundMessages, 'entity')}
    order by page.sent_at desc, page.id desc`;
}

function foundByEither(reach: Reach, query: MessageSearch): Sql {
  const { accountId } = reach;
  const newest = sql`(
        select walked.id, walked.account_id, walked.device_id, walked.target_message_id, walked.body, walked.sent_at
        from public.messages as walked
        where walked.account_id = ${accountId}${momentsOf('walked', query)}
        order by walked.sent_at desc, walked.id desc
        limit ${WALKED_MAX}
      )`;
  return sql`with recent as materialized (${findIn(reach, query, newest)}),
    matched as materialized (
      select candidate.id, candidate.sent_at
      from public.messages as candidate
      where ${conditionsOf(reach, query)} and candidate.body ilike ${containsPattern(query.search)}
        ${momentsOf('candidate', query)} and (select count(*) from recent) <= ${query.limit}
    ),
    found as (
      select id, sent_at from recent where (select count(*) from recent) > ${query.limit}
      union all
      (select id, sent_at from matched order by sent_at desc, id desc limit ${query.limit + 1})
    )`;
}

/** The newest that match, one more than the page shows, by reading them: see matchesHere in conditions.ts. */
function findIn(reach: Reach, query: MessageSearch, source: Sql): Sql {
  return sql`
      select candidate.id, candidate.sent_at
      from ${source} as candidate
      where ${conditionsOf(reach, query)}${momentsOf('candidate', query)}
        and lower(candidate.body) like lower(${containsPattern(query.search)})
      order by candidate.sent_at desc, candidate.id desc
      limit ${query.limit + 1}`;
}

function conditionsOf(reach: Reach, query: MessageSearch): Sql {
  const { chatId, deviceId } = query;
  const conditions = [
    inReach(messages, 'candidate', reach),
    sql`candidate.target_message_id is null`,
  ];
  if (chatId !== undefined) conditions.push(sql`candidate.chat_id = ${chatId}`);
  if (deviceId !== undefined) conditions.push(sql`candidate.device_id = ${deviceId}`);
  return join(conditions, ' and ');
}

/** From when until when, and behind the cursor. */
function momentsOf(alias: string, { from, to, after }: MessageSearch): Sql {
  const sentAt = column(alias, 'sent_at');
  const conditions: Sql[] = [];
  if (from !== undefined) conditions.push(sql` and ${sentAt} >= ${from}::timestamptz`);
  if (to !== undefined) conditions.push(sql` and ${sentAt} < ${to}::timestamptz`);
  if (after) {
    const here = sql`(${sentAt}, ${column(alias, 'id')})`;
    conditions.push(sql` and ${here} < (${after.value}::timestamptz, ${after.id}::bigint)`);
  }
  return join(conditions, ' ');
}

/** `{"data":[{...message with embeds and chat}],"limit":50,"next_cursor":"..."}`, newest first. One statement. */
export async function searchMessages(
  db: Queries,
  options: Reach & { query: MessageSearch; signal?: AbortSignal | undefined },
): Promise<string> {
  const { query, signal } = options;
  const rows = await db.query(searchStatement(options, query), { signal });
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  const data = shown.map(compileBodyWriter(foundMessages)).join(',');
  const next = last && rows.length > query.limit ? `,"next_cursor":"${nextCursor(BY, last)}"` : '';
  return `{"data":[${data}],"limit":${query.limit}${next}}`;
}
