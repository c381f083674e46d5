import { z } from 'zod';
import { chats } from '../../domain/entities/chats.ts';
import { messages } from '../../domain/entities/messages.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../postgres.ts';
import { join, prepared, sql, type Sql } from '../sql.ts';
import { compileBodyWriter } from './body.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { readInteger, type RawQuery } from './list-query.ts';
import { inReach, selectColumns, type Reach } from './scope.ts';

const ANCHORS = ['before', 'after', 'around'] as const;

/** A page of a conversation. Without an anchor it is the newest one. */
export type PageQuery = {
  readonly limit: number;
  /** The id of a message; that one itself is shown by `around` only. */
  readonly anchor: { readonly kind: (typeof ANCHORS)[number]; readonly id: number } | undefined;
};

const PAGE_LIMIT = 50;
const PAGE_LIMIT_MAX = 200;

/** What a chat opens with: the page that is cached. */
export const NEWEST_PAGE: PageQuery = { limit: PAGE_LIMIT, anchor: undefined };

const id = (says: string) => z.string().optional().describe(`Id of a message: ${says}`);

const schema = z
  .strictObject({
    limit: z
      .string()
      .optional()
      .describe(`Messages of a page, at most ${PAGE_LIMIT_MAX}; ${PAGE_LIMIT} when absent`),
    before: id('what is older'),
    after: id('what is newer, the next ones first to come'),
    around: id('itself and what stands around it'),
  })
  .transform((raw, context): PageQuery => {
    const complain = (name: string, message: string): void => {
      context.issues.push({ code: 'custom', path: [name], message, input: raw });
    };
    return readPageQuery(raw as RawQuery, complain) ?? z.NEVER;
  });

/** Schema of the query string of GET /api/chats/:id/messages. */
export function pageQuerySchema(): z.ZodType<PageQuery> {
  return schema;
}

function readPageQuery(
  raw: RawQuery,
  complain: (name: string, message: string) => void,
): PageQuery | undefined {
  const limit = readInteger(raw['limit'], { min: 1, max: PAGE_LIMIT_MAX, fallback: PAGE_LIMIT });
  if (limit === undefined) complain('limit', `is a number from 1 to ${PAGE_LIMIT_MAX}`);
  const given = ANCHORS.filter((name) => raw[name] !== undefined);
  const [kind, another] = given;
  if (another !== undefined) complain(another, `cannot go with ${kind}`);
  const text = kind === undefined ? '' : (raw[kind] ?? '');
  const isId = /^[1-9]\d{0,15}$/.test(text) && Number.isSafeInteger(Number(text));
  if (kind !== undefined && !isId) complain(kind, 'is not an id');
  if (limit === undefined || another !== undefined || (kind !== undefined && !isId))
    return undefined;
  return { limit, anchor: kind === undefined ? undefined : { kind, id: Number(text) } };
}

type ChatPage = { readonly chatId: number; readonly query: PageQuery };

type Sides = { readonly newer?: number; readonly older?: number };

/** How many messages a page shows on either side of its anchor, which counts as an older one. Absent: not looked at. */
function sidesOf({ limit, anchor }: PageQuery): Sides {
  const kind = anchor?.kind ?? 'before';
  switch (kind) {
    case 'before':
      return { older: limit };
    case 'after':
      return { newer: limit };
    case 'around':
      return { newer: Math.floor(limit / 2), older: Math.ceil(limit / 2) };
    default:
      return kind satisfies never;
  }
}

/**
 * The ids of the page by the index of the conversation, one more on each side than the page shows, so that its ends are
 * known; then the messages and what they embed. With no messages there is one row without an id; with no such chat
 * there is none.
 */
export function pageStatement(reach: Reach, { chatId, query }: ChatPage): Sql {
  const { newer, older } = sidesOf(query);
  const sides: Sql[] = [];
  if (newer !== undefined) sides.push(sideStatement(reach, query, { side: 'newer', shown: newer }));
  if (older !== undefined) sides.push(sideStatement(reach, query, { side: 'older', shown: older }));
  return prepared(sql`
    select anchor.id as "page.anchor", page.side as "page.side", ${selectColumns(messages, 'entity')}${selectEmbeds(messages)}
    from public.chats as chat
    left join public.messages as anchor
      on anchor.account_id = chat.account_id and anchor.chat_id = chat.id and anchor.id = ${query.anchor?.id ?? null}
      and anchor.target_message_id is null and ${inReach(messages, 'anchor', reach)}
    left join lateral (${join(sides, ' union all ')}) as page on true
    left join public.messages as entity on entity.account_id = chat.account_id and entity.id = page.id
    ${joinEmbeds(messages, 'entity')}
    where ${inReach(chats, 'chat', reach)} and chat.id = ${chatId}
    order by page.sent_at desc, page.id desc`);
}

function sideStatement(
  reach: Reach,
  { anchor }: PageQuery,
  { side, shown }: { side: 'newer' | 'older'; shown: number },
): Sql {
  const here = sql`(candidate.sent_at, candidate.id)`;
  const there = sql`(anchor.sent_at, anchor.id)`;
  const compare = side === 'newer' ? sql`>` : anchor?.kind === 'around' ? sql`<=` : sql`<`;
  const direction = side === 'newer' ? sql`asc` : sql`desc`;
  return sql`(
      select ${side}::text as side, candidate.id, candidate.sent_at
      from public.messages as candidate
      where ${inReach(messages, 'candidate', reach)} and candidate.chat_id = chat.id
        and candidate.target_message_id is null${anchor ? sql` and ${here} ${compare} ${there}` : sql``}
      order by candidate.sent_at ${direction}, candidate.id ${direction}
      limit ${shown + 1}
    )`;
}

/**
 * `{"data":[{...message with embeds}],"has_older":true,"has_newer":false,"limit":50}`, newest first, without what was
 * done to messages (reactions, edits and revocations are in the messages they are about). Undefined: no such chat.
 * One statement. @throws ClarinError not_found when the chat has no such message to go on from.
 */
export async function readPage(
  db: Queries,
  options: Reach & ChatPage & { signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const { query, signal } = options;
  const rows = await db.query(pageStatement(options, options), { signal });
  const [first] = rows;
  if (!first) return undefined;
  const { anchor, limit } = query;
  if (anchor && first['page.anchor'] === null)
    throw new ClarinError('not_found', 'there is no such message in this chat');
  const { newer = 0, older = 0 } = sidesOf(query);
  const found = rows.filter((row) => row['id'] !== null);
  const newerRows = found.filter((row) => row['page.side'] === 'newer');
  const olderRows = found.filter((row) => row['page.side'] === 'older');
  // What is one too many stands at the far end of its side.
  const hasNewer = newerRows.length > newer;
  const hasOlder = olderRows.length > older;
  const shown = [...newerRows.slice(hasNewer ? 1 : 0), ...olderRows.slice(0, older)];
  const goesOn = {
    newer: hasNewer || anchor?.kind === 'before',
    older: hasOlder || anchor?.kind === 'after',
  };
  const data = shown.map(compileBodyWriter(messages)).join(',');
  return `{"data":[${data}],"has_older":${goesOn.older},"has_newer":${goesOn.newer},"limit":${limit}}`;
}

/** These messages with their embeds, JSON texts in the order of the ids; those that are not there are left out. One statement. */
export async function readMessages(
  db: Queries,
  { ids, ...reach }: Reach & { readonly ids: readonly number[] },
): Promise<string[]> {
  const rows = await db.query(sql`
    select ${selectColumns(messages, 'entity')}${selectEmbeds(messages)}
    from unnest(${[...ids]}::bigint[]) with ordinality as wanted (id, place)
    join public.messages as entity on ${inReach(messages, 'entity', reach)} and entity.id = wanted.id
    ${joinEmbeds(messages, 'entity')}
    order by wanted.place`);
  return rows.map(compileBodyWriter(messages));
}
