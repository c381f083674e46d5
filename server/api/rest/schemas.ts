import { z } from 'zod';
import { rowSchema, type Embed, type Entity } from '../../../domain/entity.ts';
import { ERRORS } from '../../../domain/errors.ts';
import { mustFindEntity } from '../../../domain/registry.ts';

/** Schemas of paths and answers, made from the declarations. What they say is what /docs shows. */

/** Digits only: 0x1, 1e0 and +1 are numbers to JavaScript, and ids to nobody. */
export const idParams = z.object({
  id: z.preprocess(
    (text) => (typeof text === 'string' && /^[1-9]\d{0,15}$/.test(text) ? Number(text) : text),
    z.int('is not an id').positive(),
  ),
});
export const idSchema = z.int().positive();

/** A page or a limit of a query, from 1: digits only, as in ids. */
export function countSchema(range: { fallback: number; max: number }) {
  return z
    .preprocess(
      (text) => (typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : text),
      z.int(`is a number from 1 to ${range.max}`).min(1).max(range.max).optional(),
    )
    .transform((count) => count ?? range.fallback)
    .describe(`${range.fallback} when absent, at most ${range.max}`);
}

const errorSchema = z.object({
  error: z.string().describe('For people.'),
  code: z.enum(Object.keys(ERRORS) as [string, ...string[]]).describe('For programs.'),
  details: z.record(z.string(), z.unknown()).optional(),
});

function embedSchema(embed: Embed): z.ZodType {
  const { shape } = rowSchema(mustFindEntity(embed.table));
  const row = z.object(
    Object.fromEntries(embed.columns.map((name) => [name, shape[name] ?? z.unknown()])),
  );
  return embed.kind === 'one' ? row.optional() : z.array(row);
}

/** A row with its embeds, as one entity is answered. */
export function answeredRow(entity: Entity): z.ZodObject {
  const embeds = Object.entries(entity.embeds).map(([name, embed]) => [name, embedSchema(embed)]);
  return rowSchema(entity).extend(Object.fromEntries(embeds) as Record<string, z.ZodType>);
}

export function oneOf(row: z.ZodType): z.ZodObject {
  return z.object({ data: row });
}

export function listOf(row: z.ZodType): z.ZodObject {
  return z.object({
    data: z.array(row),
    total: z.int(),
    total_is_capped: z
      .literal(true)
      .optional()
      .describe('Counting stopped at `total`: there are at least as many.'),
    page: z.int().optional().describe('Absent when reading by cursor.'),
    limit: z.int(),
    next_cursor: z.string().optional().describe('Absent on the last page.'),
  });
}

/** Answers of a route: its own and the refusals every route can give. */
export function answers<S extends number>(
  status: S,
  schema: z.ZodType,
): Record<S | '4xx' | '5xx', z.ZodType> {
  return { [status]: schema, '4xx': errorSchema, '5xx': errorSchema } as Record<
    S | '4xx' | '5xx',
    z.ZodType
  >;
}

const headerText = z.string().max(255);

/** Headers that reads understand. Their form is checked where they are read, with one sentence each. */
export const readHeaders = z.object({
  'clarin-min-commit': headerText
    .optional()
    .describe('A Clarin-Commit you have seen: the answer is not older.'),
});

export const writeHeaders = z.object({
  'idempotency-key': headerText
    .optional()
    .describe('Repeating a request with it answers as the first time.'),
  'x-operation-id': headerText
    .optional()
    .describe("Comes back as the commit's origin in the feed."),
});

export const versionedWriteHeaders = writeHeaders.extend({
  'if-match': headerText
    .optional()
    .describe('The ETag you have seen: 412 when the row has changed since.'),
});

/** Bulk writes count rows; they do not show them. */
export const countsSchema = z.object({
  matched: z.int().describe('Rows of this account among the given ids.'),
  changed: z.int().describe('Rows that were not in the wanted state already.'),
});
