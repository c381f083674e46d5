import { z } from 'zod';
import { LIMIT_MAX, LIMIT_MIN, smallerLimit } from './answer.ts';
import { isSlow, type Caller } from './call.ts';
import { KommoError } from './errors.ts';
import type { Lane } from './limiter.ts';
import { encodeQuery, IDS_MAX, type ListQuery } from './query.ts';

export type KommoPage<T> = {
  readonly rows: readonly T[];
  /** When it was answered, by Kommo's clock, Unix seconds; of several requests, the first. */
  readonly serverSeconds: number;
  /** There may be more rows behind these. */
  readonly isFull: boolean;
};

/** A list of Kommo's: where it is, and what is in it. */
export type List<T> = {
  readonly path: string;
  /** Gives the rows, and whether a next page is spoken of. */
  readonly document: z.ZodType<{ rows: T[]; hasNext: boolean }>;
};

/** One row that is not what it should be, and the whole page is not: it must not look like a page without that row. */
export function listOf<T>(path: string, name: string, row: z.ZodType<T>): List<T> {
  const envelope = z.looseObject({
    _links: z.looseObject({ next: z.unknown().optional() }).nullish(),
    _embedded: z.looseObject({ [name]: z.array(row) }),
  });
  return {
    path: `/api/v4/${path}`,
    document: envelope.transform(({ _embedded, _links }) => ({
      rows: _embedded[name] as T[],
      hasNext: Boolean(_links?.next),
    })),
  };
}

/** What Kommo gives where it does not take our limit. */
const DEFAULT_LIMIT = 50;
/** Of a list that is read whole: 250,000 rows. */
const PAGES_MAX = 1_000;
/** Ids of one request, when it takes Kommo too long. */
const IDS_MIN = 12;

export type Lists = {
  /** @throws KommoError with status 504 at once when Kommo takes too long over a page of a chosen limit above 50. */
  page<T>(list: List<T>, query: ListQuery, lane: Lane): Promise<KommoPage<T>>;
  /** All of its pages. */
  all<T extends { id: number }>(list: List<T>, lane: Lane): Promise<readonly T[]>;
};

/**
 * Lists by pages. A page of a limit that the caller has chosen is that page or an error: he counts by it. Without one, pages
 * become smaller where Kommo takes too long, for as long as the client lives: a later page then begins earlier, and rows come
 * twice rather than not at all. Ids are asked for in pieces.
 */
export function createLists(call: Caller): Lists {
  const limits = new Map<string, number>();
  const limitOf = (path: string): number => limits.get(path) ?? LIMIT_MAX;
  const ask = async <T>(
    { path, document }: List<T>,
    query: ListQuery & { limit: number },
    lane: Lane,
    isShrinkable: boolean,
  ): Promise<KommoPage<T>> => {
    const asked = { lane, document, path: `${path}${encodeQuery(query)}`, isShrinkable };
    const { value, serverSeconds } = await call(asked);
    const { rows, hasNext } = value ?? { rows: [], hasNext: false };
    // The link to a next page is right neither when it is there nor when it is not. It counts where our limit may not have.
    const isFull = rows.length >= query.limit || (hasNext && rows.length >= DEFAULT_LIMIT);
    return { rows, serverSeconds, isFull };
  };
  const askForPage = async <T>(
    list: List<T>,
    query: ListQuery,
    lane: Lane,
  ): Promise<KommoPage<T>> => {
    for (;;) {
      const limit = query.limit ?? limitOf(list.path);
      const isShrinkable = limit > LIMIT_MIN;
      try {
        return await ask(list, { ...query, limit }, lane, isShrinkable);
      } catch (error) {
        if (query.limit !== undefined || !isShrinkable || !isSlow(error)) throw error;
        limits.set(list.path, smallerLimit(limit));
      }
    }
  };
  /** Rows with these ids, in no order. */
  const askForIds = async <T>(
    list: List<T>,
    { ids, ...query }: ListQuery & { ids: readonly number[] },
    lane: Lane,
  ): Promise<KommoPage<T>> => {
    if (ids.length === 0) throw new RangeError('a list of no ids');
    const piece = { ...query, page: 1, limit: LIMIT_MAX, filter: { ...query.filter, ids } };
    const isShrinkable = ids.length > IDS_MIN;
    const halves = async (): Promise<KommoPage<T>> => {
      const at = ids.length > IDS_MAX ? IDS_MAX : Math.ceil(ids.length / 2);
      const first = await askForIds(list, { ...query, ids: ids.slice(0, at) }, lane);
      const second = await askForIds(list, { ...query, ids: ids.slice(at) }, lane);
      return { ...first, rows: [...first.rows, ...second.rows] };
    };
    if (ids.length > IDS_MAX) return halves();
    try {
      return { ...(await ask(list, piece, lane, isShrinkable)), isFull: false };
    } catch (error) {
      if (!isShrinkable || !isSlow(error)) throw error;
      return halves();
    }
  };
  return {
    page: (list, query, lane) => {
      const ids = query.filter?.ids;
      return ids ? askForIds(list, { ...query, ids }, lane) : askForPage(list, query, lane);
    },
    all: async <T extends { id: number }>(list: List<T>, lane: Lane): Promise<readonly T[]> => {
      const byId = new Map<number, T>();
      for (let page = 1; page <= PAGES_MAX; page++) {
        const { rows, isFull } = await askForPage(list, { page }, lane);
        const before = byId.size;
        for (const row of rows) byId.set(row.id, row);
        // A page of rows that are there already: it was not this page that was given.
        if (!isFull || byId.size === before) return [...byId.values()];
      }
      throw new KommoError('malformed', 'A list of Kommo does not end.');
    },
  };
}
