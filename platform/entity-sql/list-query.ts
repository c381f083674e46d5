import { z } from 'zod';
import type { Column } from '../../domain/column.ts';
import type { Entity, ListDeclaration, ListFilter } from '../../domain/entity.ts';
import { describeFilters, parseFilter, type FilterValue } from './filter-value.ts';
import { formatKeyset, parseKeyset, type Keyset } from './keyset.ts';

/** A validated list query. Made by listQuerySchema only. */
export type ListQuery = {
  readonly page: number;
  readonly limit: number;
  readonly after: Keyset | undefined;
  readonly sort: string;
  readonly order: 'asc' | 'desc';
  readonly search: string | undefined;
  /** By the filter's declared name. */
  readonly filters: Readonly<Record<string, FilterValue>>;
  /** Canonical text of the query, sorted, defaults left out; parses to the same query again. */
  readonly canonical: string;
};

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 200;
/** Deeper pages are read by cursor: an offset reads everything before it. */
const PAGE_MAX = 10_000;
const SEARCH_MAX = 200;
const CURSOR_MAX = 4_096;

/** Raw texts of a query string, and where to complain. */
export type RawQuery = Readonly<Record<string, string | undefined>>;
export type Complain = (name: string, message: string) => void;

const schemas = new WeakMap<Entity, z.ZodType<ListQuery>>();

/**
 * Schema of the query string of a list (all values are texts, as they come from the URL): page, limit, cursor,
 * sort, order, search and the declared filters. Unknown parameters are refused.
 * @throws Error when the entity declares no list: a slip of ours.
 */
export function listQuerySchema(entity: Entity): z.ZodType<ListQuery> {
  const known = schemas.get(entity);
  if (known) return known;
  const list = mustList(entity);
  const shape: Record<string, z.ZodType<string | undefined>> = {
    page: z.string().optional().describe(`Page, from 1 to ${PAGE_MAX}; deeper by cursor`),
    limit: z
      .string()
      .optional()
      .describe(`Rows of a page, at most ${LIMIT_MAX}; ${LIMIT_DEFAULT} when absent`),
    cursor: z
      .string()
      .max(CURSOR_MAX)
      .optional()
      .describe('next_cursor of the page before, with the same sort and order'),
    ...sortShape(list),
    ...describeFilters(entity, list.filters),
  };
  const schema = z.strictObject(shape).transform((raw, context): ListQuery => {
    const complain: Complain = (name, message) => {
      context.issues.push({ code: 'custom', path: [name], message, input: raw });
    };
    return readListQuery(entity, raw as RawQuery, complain) ?? z.NEVER;
  });
  schemas.set(entity, schema);
  return schema;
}

export function sortShape(list: ListDeclaration): Record<string, z.ZodType<string | undefined>> {
  return {
    sort: z.enum(list.sorts).optional(),
    order: z.enum(['asc', 'desc']).optional(),
    ...(list.search.length > 0
      ? {
          search: z
            .string()
            .max(SEARCH_MAX)
            .optional()
            .describe(
              `Anywhere in: ${list.search.join(', ')}; one or two characters where words begin`,
            ),
        }
      : {}),
  };
}

function readListQuery(entity: Entity, raw: RawQuery, complain: Complain): ListQuery | undefined {
  const list = mustList(entity);
  const written: [string, string][] = [];
  const page = readInteger(raw['page'], { min: 1, max: PAGE_MAX, fallback: 1 });
  const limit = readInteger(raw['limit'], { min: 1, max: LIMIT_MAX, fallback: LIMIT_DEFAULT });
  const by = readSort(list, raw, written);
  const search = readSearch(raw['search'], complain, written);
  const filters = readFilters(entity, { filters: list.filters, raw, complain, written });
  let after: Keyset | undefined;
  if (raw['cursor'] !== undefined) {
    if (raw['page'] !== undefined) complain('cursor', 'cannot go with page');
    const place = { of: entity.table, ...by };
    after = parseKeyset(place, mustColumn(entity, by.sort).kind, raw['cursor']);
    if (after) written.push(['cursor', formatKeyset(place, after)]);
    else complain('cursor', 'is no next_cursor of this list with this sort and order');
  }
  if (page === undefined) complain('page', `is a number from 1 to ${PAGE_MAX}; go on by cursor`);
  if (limit === undefined) complain('limit', `is a number from 1 to ${LIMIT_MAX}`);
  if (page === undefined || limit === undefined || filters === undefined) return undefined;
  if (page !== 1) written.push(['page', String(page)]);
  if (limit !== LIMIT_DEFAULT) written.push(['limit', String(limit)]);
  return { page, limit, after, ...by, search, filters, canonical: formatCanonical(written) };
}

/** Pairs in one order, whatever the order of the client's. */
export function formatCanonical(written: readonly [string, string][]): string {
  return new URLSearchParams(written.toSorted(([a], [b]) => (a < b ? -1 : 1))).toString();
}

export function readInteger(
  text: string | undefined,
  range: { min: number; max: number; fallback: number },
): number | undefined {
  if (text === undefined) return range.fallback;
  if (!/^\d{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= range.min && value <= range.max ? value : undefined;
}

export function readSort(
  list: Pick<ListDeclaration, 'sort' | 'order'>,
  raw: RawQuery,
  written: [string, string][],
): { sort: string; order: 'asc' | 'desc' } {
  const sort = raw['sort'] ?? list.sort;
  const order = (raw['order'] ?? list.order) === 'asc' ? 'asc' : 'desc';
  if (sort !== list.sort) written.push(['sort', sort]);
  if (order !== list.order) written.push(['order', order]);
  return { sort, order };
}

export function readSearch(
  text: string | undefined,
  complain: Complain,
  written: [string, string][],
): string | undefined {
  const search = text?.trim().replaceAll(/\s+/g, ' ') ?? '';
  if (search === '') return undefined;
  if (search.includes('\0') || !search.isWellFormed())
    complain('search', 'holds a character that cannot be stored');
  written.push(['search', search]);
  return search;
}

export function readFilters(
  entity: Entity,
  options: {
    filters: Readonly<Record<string, ListFilter>>;
    raw: RawQuery;
    complain: Complain;
    written: [string, string][];
  },
): Record<string, FilterValue> | undefined {
  const values: Record<string, FilterValue> = {};
  let isValid = true;
  const complain: Complain = (name, message) => {
    isValid = false;
    options.complain(name, message);
  };
  for (const [name, filter] of Object.entries(options.filters)) {
    const parsed = parseFilter(entity, { name, filter, raw: options.raw, complain });
    if (!parsed) continue;
    values[name] = parsed.value;
    options.written.push(...parsed.written);
  }
  return isValid ? values : undefined;
}

/** Field of the list in its cache family, `list?<canonical query>`. */
export function listKey(query: ListQuery): string {
  return `list?${query.canonical}`;
}

/** The query of a key made by listKey; undefined for any other text. */
export function parseListKey(entity: Entity, key: string): ListQuery | undefined {
  if (!key.startsWith('list?')) return undefined;
  const raw = Object.fromEntries(new URLSearchParams(key.slice('list?'.length)));
  return listQuerySchema(entity).safeParse(raw).data;
}

/** @throws Error when the entity declares no list: a slip of ours. */
export function mustList(entity: Entity): ListDeclaration {
  if (!entity.list) throw new Error(`entity ${entity.table} has no list`);
  return entity.list;
}

/** @throws Error for a column that is not declared: a slip of ours, never of a client. */
export function mustColumn(entity: Entity, name: string): Column {
  const column = entity.columns[name];
  if (!column) throw new Error(`entity ${entity.table} has no column ${name}`);
  return column;
}
