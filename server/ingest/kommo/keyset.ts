import { beginIdWalk, shortenPages, takeIdPage, type IdWalk } from './id-walk.ts';

/**
 * A pass over everything that changed since a moment, while it goes on changing. All moments are Kommo's seconds.
 *
 * With pages that are counted, a row that is edited while we read jumps to the end, everything behind it moves to the
 * left, and one row is skipped. So the moment is the key: after a full page the next one begins at the last moment we
 * saw, that moment included, and its page is the first. Whatever is edited meanwhile comes again, later.
 *
 * A second with more rows than a page (an edit of thousands at once) cannot be passed that way. It is walked through in
 * the order of ids, alone, until its end; then the pass goes on with the next second.
 *
 * That `from` includes its moment is not documented. When a page that begins at a moment shows none of the rows that we
 * saw there, it is asked for once more from one second before; if they are there then, `from` excludes, and it is one
 * second less from then on. https://developers.kommo.com/reference/leads-list
 */
export type UpdatedRow = { readonly id: number; readonly updated_at: number };

/** What to ask for: rows whose moment is from `from` to `to`, in this order. */
export type UpdatedPage = {
  readonly by: 'updated_at' | 'id';
  readonly from: number;
  readonly to: number | undefined;
  readonly page: number;
  readonly limit: number;
};

export type Keyset = {
  /** Undefined: the pass is complete. */
  readonly ask: UpdatedPage | undefined;
  /** The newest moment of all rows so far; undefined: there were none. */
  readonly maxSeen: number | undefined;
  /** What was learned about `from`. */
  readonly isExclusive: boolean;
  readonly limit: number;
  /** The moment at which the pass goes on. */
  readonly from: number;
  /** Rows with that moment, and after it, that were seen already: id -> moment. */
  readonly seen: ReadonlyMap<number, number>;
  /** Asking from one second before, to see whether `from` excludes. */
  readonly isProbing: boolean;
  /** Inside one crowded second. */
  readonly crowd: IdWalk | undefined;
};

type Begin = { readonly from: number; readonly limit: number; readonly isExclusive?: boolean };

export function beginKeyset({ from, limit, isExclusive = false }: Begin): Keyset {
  return at({ from, limit, isExclusive, maxSeen: undefined, seen: new Map() });
}

/** The same pass with shorter pages: the server did not manage longer ones. */
export function shortenKeyset(pass: Keyset, limit: number): Keyset {
  if (pass.crowd) return inCrowd({ ...pass, limit, crowd: shortenPages(pass.crowd, limit) });
  return { ...pass, limit, ask: pass.ask && { ...pass.ask, limit } };
}

/** A server that does not filter shows rows from before. One from behind may have been edited while its page was made. */
export function isUnfiltered({ from }: UpdatedPage, rows: readonly UpdatedRow[]): boolean {
  return rows.some((row) => row.updated_at < from);
}

type Taken<T> = { readonly pass: Keyset; readonly fresh: T[] };

/** What the page that was asked for brings: rows that this pass has not seen in this state, and how to go on. */
export function takeUpdatedPage<T extends UpdatedRow>(pass: Keyset, rows: readonly T[]): Taken<T> {
  const { ask, isProbing } = pass;
  if (!ask) return { pass, fresh: [] };
  if (pass.crowd) return takeCrowded(pass, pass.crowd, rows);
  const hasKnown = rows.some((row) => pass.seen.get(row.id) === row.updated_at);
  if (pass.seen.size > 0 && !pass.isExclusive && !hasKnown && !isProbing) {
    const probe = { ...pass, isProbing: true, ask: { ...ask, from: pass.from - 1 } };
    return { pass: probe, fresh: [] };
  }
  const isExclusive = pass.isExclusive || (isProbing && hasKnown);
  const fresh = rows.filter((row) => pass.seen.get(row.id) !== row.updated_at);
  const maxSeen = newest(pass, rows);
  const last = Math.max(...rows.map((row) => row.updated_at));
  // Asked for once: what was seen there and is not there now was edited meanwhile.
  const seen = isProbing && !isExclusive ? new Map<number, number>() : new Map(pass.seen);
  for (const row of fresh) if (row.updated_at >= last) seen.set(row.id, row.updated_at);
  const next = { ...pass, isExclusive, maxSeen, seen };
  if (rows.length < ask.limit) return { pass: { ...next, ask: undefined }, fresh };
  // A page that was full of what a probe asked for besides is asked for again, without that.
  if (last > pass.from || isProbing)
    return { pass: at({ ...next, from: Math.max(last, pass.from) }), fresh };
  return { pass: inCrowd({ ...next, crowd: beginIdWalk(pass.limit) }), fresh };
}

function takeCrowded<T extends UpdatedRow>(
  pass: Keyset,
  crowd: IdWalk,
  rows: readonly T[],
): Taken<T> {
  const { walk, fresh } = takeIdPage(crowd, rows);
  const next = { ...pass, maxSeen: newest(pass, rows), seen: new Map<number, number>() };
  if (walk.ask) return { pass: inCrowd({ ...next, crowd: walk }), fresh };
  return { pass: at({ ...next, from: pass.from + 1 }), fresh };
}

function newest({ maxSeen }: Keyset, rows: readonly UpdatedRow[]): number | undefined {
  if (rows.length === 0) return maxSeen;
  return Math.max(maxSeen ?? 0, ...rows.map((row) => row.updated_at));
}

type At = Pick<Keyset, 'from' | 'limit' | 'isExclusive' | 'maxSeen' | 'seen'>;

/** At the first page from a moment on. What was seen before it does not come again. */
function at({ from, limit, isExclusive, maxSeen, seen }: At): Keyset {
  const kept = new Map([...seen].filter(([, moment]) => moment >= from));
  const ask = { by: 'updated_at', from: isExclusive ? from - 1 : from, to: undefined } as const;
  return {
    ask: { ...ask, page: 1, limit },
    from,
    limit,
    isExclusive,
    maxSeen,
    seen: kept,
    isProbing: false,
    crowd: undefined,
  };
}

function inCrowd(pass: Keyset & { crowd: IdWalk | undefined }): Keyset {
  const { from, isExclusive, crowd } = pass;
  const own = { by: 'id', from: isExclusive ? from - 1 : from, to: from } as const;
  return { ...pass, ask: crowd?.ask && { ...own, ...crowd.ask } };
}

/** Seconds that a pass goes back: more than rows are late in lists, and now and then more than clocks are apart. */
const OVERLAP_SECONDS = 10;
const LONG_OVERLAP_SECONDS = 120;
const LONG_EVERY = 12;

/** Now and then a pass goes back further, and believes nothing that the ones before have learned. */
export function isLong(number: number): boolean {
  return number % LONG_EVERY === 0;
}

/** Where the `number`th pass begins. */
export function overlapFrom(cursor: number, number: number): number {
  const seconds = isLong(number) ? LONG_OVERLAP_SECONDS : OVERLAP_SECONDS;
  return Math.max(0, cursor - seconds);
}

/** Where the first pass of a list begins. */
export function firstCursor(serverSeconds: number): number {
  return Math.max(0, serverSeconds - LONG_OVERLAP_SECONDS);
}

/** More than clocks are apart. */
const AHEAD_SECONDS_MAX = 300;

/**
 * Kommo said once that it is later than it is, and the cursor has followed: passes would find nothing until then. That Kommo
 * says now that it is earlier than it is does not count, so it is ahead of our clock too.
 */
export function isAhead(
  cursor: number,
  { serverSeconds, ourSeconds }: { serverSeconds: number; ourSeconds: number },
): boolean {
  return cursor > Math.max(serverSeconds, ourSeconds) + AHEAD_SECONDS_MAX;
}

/**
 * Where the next pass begins, but for the overlap, once this one is complete. Not beyond Kommo's time at its first page:
 * what was changed since then may have been read before it was over, or not be in the lists yet. Not far behind it
 * either, so that the thousands of rows of one edit are not read again and again. Never backwards.
 */
export function nextCursor(
  cursor: number,
  { maxSeen, serverSeconds }: { maxSeen: number | undefined; serverSeconds: number },
): number {
  const reached = Math.min(maxSeen ?? 0, serverSeconds);
  return Math.max(cursor, reached, serverSeconds - LONG_OVERLAP_SECONDS);
}
