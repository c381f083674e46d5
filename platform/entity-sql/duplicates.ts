import { z } from 'zod';
import { contacts } from '../../domain/entities/contacts.ts';
import { leads } from '../../domain/entities/leads.ts';
import type { Entity } from '../../domain/entity.ts';
import type { Queries, TextRow } from '../postgres.ts';
import { empty, sql, type Sql } from '../sql.ts';
import { compileBodyWriter } from './body.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { formatKeyset, parseKeyset, type Keyset } from './keyset.ts';
import { formatCanonical, readInteger } from './list-query.ts';
import { inReach, selectColumns, tableOf } from './scope.ts';

/** What makes rows of an account duplicates of each other. */
export type DuplicateKind = 'phone' | 'email' | 'open_lead';

/** A validated query. `after`: behind the group with this key. */
export type DuplicatesQuery = {
  readonly by: DuplicateKind;
  readonly limit: number;
  readonly after: Keyset | undefined;
  readonly canonical: string;
};

type Duplicates = {
  readonly entity: Entity;
  /** Member of a group that holds its rows. */
  readonly rows: string;
  /** What the members of a group share, of the row `one`: a text, and a number behind it where a text is not enough. */
  readonly key: Sql;
  readonly subkey: Sql;
  /** Which rows are compared at all. */
  readonly where: Sql;
  /** A group's own members, from its keys. */
  readonly describe: (key: string, subkey: string) => string;
};

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
const CURSOR_MAX = 4_096;
/** Rows shown of a group: as many as one merge takes. `total` counts all of them. */
const SHOWN_MAX = 21;

const describeKey = (key: string): string => `"key":${JSON.stringify(key)}`;
const none = sql`0::bigint`;

const KINDS: Readonly<Record<DuplicateKind, Duplicates>> = {
  phone: {
    entity: contacts,
    rows: 'contacts',
    key: sql`clarin.phone_key(one.phone)`,
    subkey: none,
    where: sql`one.phone is not null and one.phone <> ''`,
    describe: describeKey,
  },
  email: {
    entity: contacts,
    rows: 'contacts',
    key: sql`lower(one.email)`,
    subkey: none,
    where: sql`one.email is not null and one.email <> ''`,
    describe: describeKey,
  },
  open_lead: {
    entity: leads,
    rows: 'leads',
    key: sql`one.contact_id`,
    subkey: sql`one.pipeline_id`,
    where: sql`one.status = 'open' and one.archived_at is null and one.deleted_at is null`,
    describe: (key, subkey) => `"contact_id":${key},"pipeline_id":${subkey}`,
  },
};

/** The first kind is the default. */
function duplicatesQuerySchema(
  kinds: readonly [DuplicateKind, ...DuplicateKind[]],
): z.ZodType<DuplicatesQuery> {
  const shape = {
    ...(kinds.length > 1
      ? { by: z.enum(kinds).optional().describe(`What they share; ${kinds[0]} when absent`) }
      : {}),
    limit: z
      .string()
      .optional()
      .describe(`Groups of a page, at most ${LIMIT_MAX}; ${LIMIT_DEFAULT} when absent`),
    cursor: z.string().max(CURSOR_MAX).optional().describe('next_cursor of the page before'),
  };
  return z.strictObject(shape).transform((raw, context): DuplicatesQuery => {
    const complain = (name: string, message: string): void => {
      context.issues.push({ code: 'custom', path: [name], message, input: raw });
    };
    const { limit: limitText, cursor, ...rest } = raw as Record<string, string | undefined>;
    const by = (rest['by'] ?? kinds[0]) as DuplicateKind;
    const limit = readInteger(limitText, { min: 1, max: LIMIT_MAX, fallback: LIMIT_DEFAULT });
    const after = cursor === undefined ? undefined : parseCursor(by, cursor);
    if (limit === undefined) complain('limit', `is a number from 1 to ${LIMIT_MAX}`);
    if (cursor !== undefined && !after) complain('cursor', 'is no next_cursor of this');
    if (limit === undefined) return z.NEVER;
    const written: [string, string][] = [];
    if (by !== kinds[0]) written.push(['by', by]);
    if (limit !== LIMIT_DEFAULT) written.push(['limit', String(limit)]);
    if (after) written.push(['cursor', formatCursor(by, after)]);
    return { by, limit, after, canonical: formatCanonical(written) };
  });
}

function parseCursor(by: DuplicateKind, text: string): Keyset | undefined {
  return parseKeyset(
    { of: 'duplicates', sort: by, order: 'asc' },
    by === 'open_lead' ? 'id' : 'text',
    text,
  );
}

function formatCursor(by: DuplicateKind, keyset: Keyset): string {
  return formatKeyset({ of: 'duplicates', sort: by, order: 'asc' }, keyset);
}

/** Field of the answer in its entity's list family, `duplicates?<canonical query>`. */
export function duplicatesKey(query: DuplicatesQuery): string {
  return `duplicates?${query.canonical}`;
}

/** Schemas of the query strings of GET /api/contacts/duplicates and /api/leads/duplicates. */
export const contactDuplicatesSchema = duplicatesQuerySchema(['phone', 'email']);
export const leadDuplicatesSchema = duplicatesQuerySchema(['open_lead']);

/** The query of a key made by duplicatesKey in this entity's list family; undefined for any other text. */
export function parseDuplicatesKey(entity: Entity, key: string): DuplicatesQuery | undefined {
  if (!key.startsWith('duplicates?')) return undefined;
  const raw = Object.fromEntries(new URLSearchParams(key.slice('duplicates?'.length)));
  const schema = entity.table === 'leads' ? leadDuplicatesSchema : contactDuplicatesSchema;
  return schema.safeParse(raw).data;
}

/**
 * Groups by the index of their key, one more than the page holds, then the rows of each by the same index, and only
 * then what they embed.
 */
function duplicatesStatement(accountId: number, query: DuplicatesQuery): Sql {
  const { entity, key, subkey, where } = KINDS[query.by];
  const reach = sql`${inReach(entity, 'one', { accountId })} and ${where}`;
  return sql`
    with found as materialized (
      select ${key} as key, ${subkey} as subkey, count(*) as total
      from ${tableOf(entity.table)} as one
      where ${reach}${query.after ? behind(query.by, query.after) : empty}
      group by 1, 2
      having count(*) > 1
      order by 1, 2
      limit ${query.limit + 1}
    )
    select found.key as "group.key", found.subkey as "group.subkey", found.total as "group.total",
      ${selectColumns(entity, 'entity')}${selectEmbeds(entity)}
    from found
    cross join lateral (
      select one.id
      from ${tableOf(entity.table)} as one
      where ${reach} and ${key} = found.key and (${subkey}) = found.subkey
      order by one.id
      limit ${SHOWN_MAX}
    ) as shown
    join ${tableOf(entity.table)} as entity on entity.account_id = ${accountId} and entity.id = shown.id
    ${joinEmbeds(entity, 'entity')}
    order by found.key, found.subkey, entity.id`;
}

function behind(by: DuplicateKind, after: Keyset): Sql {
  const { key, subkey } = KINDS[by];
  if (by === 'open_lead')
    return sql` and (${key}, ${subkey}) > (${after.value}::bigint, ${after.id}::bigint)`;
  return sql` and ${key} > ${after.value}::text`;
}

/**
 * `{"data":[{"key":"51999888777","total":2,"contacts":[{...row with embeds}]}],"limit":n,"next_cursor":"..."}`, of
 * leads with `contact_id` and `pipeline_id` in place of `key`. Rows by id, the oldest first. One statement.
 */
export async function listDuplicates(
  db: Queries,
  options: { accountId: number; query: DuplicatesQuery; signal?: AbortSignal | undefined },
): Promise<string> {
  const { accountId, query, signal } = options;
  const rows = await db.query(duplicatesStatement(accountId, query), { signal });
  const groups = new Map<string, TextRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row['group.key'], row['group.subkey']]);
    const known = groups.get(key);
    if (known) known.push(row);
    else groups.set(key, [row]);
  }
  const found = [...groups.values()];
  const shown = found.slice(0, query.limit);
  let body = `{"data":[${shown.map((group) => writeGroup(query.by, group)).join(',')}],"limit":${query.limit}`;
  const last = shown.at(-1)?.[0];
  if (last && found.length > query.limit) {
    const keyset = { value: last['group.key'] ?? '', id: Number(last['group.subkey']) };
    body += `,"next_cursor":"${formatCursor(query.by, keyset)}"`;
  }
  return `${body}}`;
}

function writeGroup(by: DuplicateKind, rows: readonly TextRow[]): string {
  const { entity, rows: name, describe } = KINDS[by];
  const first = rows[0];
  const write = compileBodyWriter(entity);
  const group = describe(first?.['group.key'] ?? '', first?.['group.subkey'] ?? '');
  return `{${group},"total":${first?.['group.total'] ?? '0'},"${name}":[${rows.map(write).join(',')}]}`;
}
