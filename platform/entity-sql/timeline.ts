import { z } from 'zod';
import { chats } from '../../domain/entities/chats.ts';
import { interactions } from '../../domain/entities/interactions.ts';
import { leads } from '../../domain/entities/leads.ts';
import { publishedColumns, type Entity } from '../../domain/entity.ts';
import type { Permission } from '../../domain/permission.ts';
import { formatTimestamp } from '../../domain/row-json.ts';
import type { Queries, TextRow } from '../postgres.ts';
import { column, empty, join, sql, type Sql } from '../sql.ts';
import { compileBodyWriter, type Sees } from './body.ts';
import { embedAlias, joinEmbeds } from './embeds.ts';
import { parseInstant } from './instant.ts';
import { readInteger } from './list-query.ts';
import { inReach, tableOf, type Reach } from './scope.ts';

type Source = {
  readonly type: string;
  readonly entity: Entity;
  readonly permission: Permission;
  /** When it stands in the timeline. */
  readonly at: string;
  /** Which of them are shown, of the row `one`. */
  readonly where: Sql;
};

/** What a contact's timeline is made of. Each has an index that begins with the contact. */
const SOURCES: readonly Source[] = [
  { type: 'chat', entity: chats, permission: 'chats', at: 'active_at', where: sql`true` },
  {
    type: 'interaction',
    entity: interactions,
    permission: 'contacts',
    at: 'occurred_at',
    where: sql`true`,
  },
  {
    type: 'lead',
    entity: leads,
    permission: 'leads',
    at: 'created_at',
    where: sql`one.deleted_at is null`,
  },
];

const TIMELINE_TYPES = SOURCES.map(({ type }) => type);

/** Where a page begins: behind this moment, type and id. */
type Position = { readonly at: string; readonly type: string; readonly id: number };

export type TimelineQuery = { readonly limit: number; readonly after: Position | undefined };

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 200;
const CURSOR_MAX = 256;

/** Schema of the query string of GET /api/contacts/:id/timeline. */
export const timelineQuerySchema = z
  .strictObject({
    limit: z
      .string()
      .optional()
      .describe(`Items of a page, at most ${LIMIT_MAX}; ${LIMIT_DEFAULT} when absent`),
    cursor: z.string().max(CURSOR_MAX).optional().describe('next_cursor of the page before'),
  })
  .transform((raw, context): TimelineQuery => {
    const complain = (name: string, message: string): void => {
      context.issues.push({ code: 'custom', path: [name], message, input: raw });
    };
    const limit = readInteger(raw.limit, { min: 1, max: LIMIT_MAX, fallback: LIMIT_DEFAULT });
    const after = raw.cursor === undefined ? undefined : parsePosition(raw.cursor);
    if (limit === undefined) complain('limit', `is a number from 1 to ${LIMIT_MAX}`);
    if (raw.cursor !== undefined && !after) complain('cursor', 'is no next_cursor of a timeline');
    return limit === undefined ? z.NEVER : { limit, after };
  });

function formatPosition({ at, type, id }: Position): string {
  return Buffer.from(JSON.stringify([at, type, id])).toString('base64url');
}

/** Undefined for any text that is no cursor of ours, a forged one included. */
function parsePosition(text: string): Position | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  const known = z.tuple([z.string(), z.enum(TIMELINE_TYPES), z.int().min(0)]).safeParse(parts).data;
  if (!known) return undefined;
  const [moment, type, id] = known;
  const at = parseInstant(moment);
  return at === undefined ? undefined : { at, type, id };
}

type Options = Reach & {
  readonly contactId: number;
  readonly query: TimelineQuery;
  readonly sees: Sees;
};

/**
 * The newest of each kind by its own index, of these the page, and only then the rows and what they embed. A contact
 * that nothing is known of is one row without a type.
 */
function timelineStatement(options: Options): Sql {
  const { accountId, contactId, query, sees } = options;
  const sources = SOURCES.filter(({ permission }) => sees(permission));
  return sql`
    with page as materialized (
      select found.type, found.at, found.id
      from (${join(
        sources.map((source) => sql`(${candidates(source, options)})`),
        ' union all ',
      )}) as found
      order by found.at desc, found.type desc, found.id desc
      limit ${query.limit + 1}
    )
    select item.type, item.at, item.id, item.texts
    from public.contacts as contact
    left join (${join(
      sources.map((source) => rowsOf(source, accountId)),
      ' union all ',
    )}) as item on true
    where contact.account_id = ${accountId} and contact.id = ${contactId}
    order by item.at desc, item.type desc, item.id desc`;
}

function candidates(source: Source, { contactId, query, ...reach }: Options): Sql {
  const { type, entity, where } = source;
  const at = column('one', source.at);
  const { after } = query;
  const behind = after
    ? sql` and (${at}, ${type}::text collate "C", one.id)
        < (${after.at}::timestamptz, ${after.type}::text collate "C", ${after.id}::bigint)`
    : empty;
  return sql`
    select ${type}::text collate "C" as type, ${at} as at, one.id
    from ${tableOf(entity.table)} as one
    where ${inReach(entity, 'one', reach)} and one.contact_id = ${contactId} and ${where}${behind}
    order by ${at} desc, one.id desc
    limit ${query.limit + 1}`;
}

/** Texts of the row's columns and embeds, in the order of `partsOf`: rows of different tables become one shape. */
function rowsOf({ type, entity }: Source, accountId: number): Sql {
  const texts = [
    ...publishedColumns(entity).map((name) => column('entity', name)),
    ...Object.keys(entity.embeds).map((name) => column(embedAlias(name), 'json')),
  ].map((part) => sql`${part}::text`);
  return sql`
    select page.type, page.at, page.id, json_build_array(${join(texts)}) as texts
    from page
    join ${tableOf(entity.table)} as entity on entity.account_id = ${accountId} and entity.id = page.id
    ${joinEmbeds(entity, 'entity')}
    where page.type = ${type}`;
}

function partsOf(entity: Entity): string[] {
  return [...publishedColumns(entity), ...Object.keys(entity.embeds).map(embedAlias)];
}

/**
 * `{"data":[{"type":"lead","at":"...","data":{...row with embeds}}],"limit":n,"next_cursor":"..."}`, newest first:
 * a chat at its last message, an interaction when it took place, a lead when it was made. Only what the reader may
 * see. Undefined: no such contact in this account. One statement.
 */
export async function readTimeline(
  db: Queries,
  { signal, ...options }: Options & { signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const rows = await db.query(timelineStatement(options), { signal });
  if (rows.length === 0) return undefined;
  const { limit } = options.query;
  const found = rows.filter((row) => row['type'] !== null);
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  const items = shown.map((row) => writeItem(row, options.sees)).join(',');
  let body = `{"data":[${items}],"limit":${limit}`;
  if (last && found.length > limit) {
    const { type, id } = last;
    const position = { at: instantOf(last), type: type ?? '', id: Number(id) };
    body += `,"next_cursor":"${formatPosition(position)}"`;
  }
  return `${body}}`;
}

function instantOf(row: TextRow): string {
  return formatTimestamp(row['at'] ?? '');
}

function writeItem(row: TextRow, sees: Sees): string {
  const source = SOURCES.find(({ type }) => type === row['type']);
  if (!source) throw new Error(`nothing in a timeline is a ${row['type']}`);
  const texts = JSON.parse(row['texts'] ?? '[]') as (string | null)[];
  const parts = partsOf(source.entity).map((name, place) => [name, texts[place] ?? null]);
  const data = compileBodyWriter(source.entity, sees)(Object.fromEntries(parts) as TextRow);
  return `{"type":"${source.type}","at":"${instantOf(row)}","data":${data}}`;
}
