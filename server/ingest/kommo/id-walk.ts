/**
 * Reading a whole list of Kommo's in the order of its ids, page by page, while rows go from it.
 *
 * Pages are counted, not keyed: when a row behind us is deleted, everything after it moves one place to the left, and
 * the row that was the first of the next page is skipped. So each page begins a few rows before the end of the one
 * before (a page of `limit` rows begins at a multiple of `limit`: another limit, another place to begin). A page whose
 * first id is not beyond the last one we have is the continuation; one that begins beyond it may have skipped
 * something, and the page before it is read again, until they meet.
 *
 * Of 50,000 rows that is 220 pages where 201 would do without (test/server/kommo-passes-walk.test.ts).
 */
export type IdPage = { readonly page: number; readonly limit: number };

export type IdWalk = {
  /** What to ask for next; undefined: the end was reached. */
  readonly ask: IdPage | undefined;
  /** Everything up to this id was seen. */
  readonly lastId: number;
  /** Rows of the list up to there, as far as is known. */
  readonly taken: number;
  readonly limitMax: number;
};

/** Rows that two pages have in common: so many may be deleted between them without one being read again. */
const OVERLAP_ROWS = 4;
/** Shorter pages than this part of the longest cost more than a larger overlap. */
const SHORTEST = 0.8;

/** `from`: where a walk stood that was broken off. */
export function beginIdWalk(
  limitMax: number,
  from: { readonly lastId: number; readonly taken: number } = { lastId: 0, taken: 0 },
): IdWalk {
  return { lastId: from.lastId, taken: from.taken, limitMax, ask: pageAt(from.taken, limitMax) };
}

/** The same walk with shorter pages: the server did not manage longer ones. */
export function shortenPages(walk: IdWalk, limitMax: number): IdWalk {
  return { ...walk, limitMax, ask: walk.ask && pageAt(walk.taken, limitMax) };
}

/** What the page that was asked for brings: the rows that are new, in the order of their ids, and how to go on. */
export function takeIdPage<T extends { readonly id: number }>(
  walk: IdWalk,
  rows: readonly T[],
): { walk: IdWalk; fresh: T[] } {
  const { ask, lastId, limitMax } = walk;
  if (!ask) return { walk, fresh: [] };
  const begin = (ask.page - 1) * ask.limit;
  const sorted = rows.toSorted((left, right) => left.id - right.id);
  const [first] = sorted;
  if (begin > 0 && (!first || first.id > lastId)) {
    const taken = Math.max(0, begin - limitMax);
    return { walk: { ...walk, taken, ask: pageAt(taken, limitMax) }, fresh: [] };
  }
  const fresh = sorted.filter((row, index) => row.id > lastId && row.id !== sorted[index - 1]?.id);
  const taken = begin + rows.length;
  return {
    walk: {
      limitMax,
      taken,
      lastId: fresh.at(-1)?.id ?? lastId,
      ask: rows.length < ask.limit ? undefined : pageAt(taken, limitMax),
    },
    fresh,
  };
}

/** The page that reaches furthest of those that begin at least OVERLAP_ROWS before `taken` and end behind it. */
function pageAt(taken: number, limitMax: number): IdPage {
  let best: IdPage = { page: 1, limit: limitMax };
  if (taken < limitMax * SHORTEST) return best;
  let bestEnd = 0;
  for (let limit = limitMax; limit >= limitMax * SHORTEST; limit--) {
    const before = Math.floor(Math.max(0, taken - OVERLAP_ROWS) / limit);
    const end = (before + 1) * limit;
    if (end <= bestEnd) continue;
    bestEnd = end;
    best = { page: before + 1, limit };
  }
  return best;
}
