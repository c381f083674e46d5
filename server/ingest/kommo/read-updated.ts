import { KommoError } from '../../kommo/errors.ts';
import { beginDescending, takeDescendingPage } from './descending.ts';
import {
  beginKeyset,
  isLong,
  isUnfiltered,
  nextCursor,
  overlapFrom,
  shortenKeyset,
  takeUpdatedPage,
  type UpdatedPage,
  type UpdatedRow,
} from './keyset.ts';

/** How a list of one connection is read: what passes over it have learned. */
export type Reading = {
  /** Where the next pass begins, but for the overlap; Kommo's seconds. */
  readonly cursor: number;
  /** Passes so far. */
  readonly number: number;
  readonly pageRows: number;
  /** `from` does not include its moment. */
  readonly isExclusive: boolean;
  /** The server orders, but does not filter. */
  readonly isUnfiltered: boolean;
};

export const PAGE_ROWS_MAX = 250;
const PAGE_ROWS_MIN = 50;
/** Of one pass, millions of rows: a server that shows other pages than were asked for would keep us for ever. */
const PAGES_MAX = 20_000;

export function beginReading(cursor: number): Reading {
  const learned = { isExclusive: false, isUnfiltered: false };
  return { cursor, number: 0, pageRows: PAGE_ROWS_MAX, ...learned };
}

/** What to ask for: a page of the keyset, or, newest first, of everything. */
export type WantedPage = UpdatedPage | { readonly page: number; readonly limit: number };

export type Reader<T extends UpdatedRow> = {
  /** @throws KommoError, and then the pass has not been. */
  fetch(wanted: WantedPage): Promise<{ rows: readonly T[]; serverSeconds: number }>;
  /** What is new of each page, perhaps nothing. With the last page comes where the cursor will be. */
  take(rows: T[], cursor: number | undefined): Promise<void>;
};

/**
 * One pass over what changed. Gives the reading as the next pass finds it; when it throws, the next one begins where this
 * one did, and reads everything again.
 */
export async function readUpdated<T extends UpdatedRow>(
  reading: Reading,
  reader: Reader<T>,
): Promise<Reading> {
  if (!reading.isUnfiltered || isLong(reading.number)) {
    const read = await readKeyset(reading, reader);
    if (read) return read;
  }
  return readDescending({ ...reading, isUnfiltered: true }, reader);
}

/** Undefined: the server does not filter. */
async function readKeyset<T extends UpdatedRow>(
  { cursor, number, pageRows, isExclusive }: Reading,
  reader: Reader<T>,
): Promise<Reading | undefined> {
  let pass = beginKeyset({ from: overlapFrom(cursor, number), limit: pageRows, isExclusive });
  let serverSeconds: number | undefined;
  let reached = cursor;
  for (let pages = 0; pass.ask; pages++) {
    assertEnds(pages);
    const page = await reader.fetch(pass.ask).catch((error: unknown) => {
      const shorter = shorterPage(error, pass.limit);
      if (shorter === undefined) throw error;
      pass = shortenKeyset(pass, shorter);
    });
    if (!page) continue;
    if (isUnfiltered(pass.ask, page.rows)) return undefined;
    serverSeconds ??= page.serverSeconds;
    const taken = takeUpdatedPage(pass, page.rows);
    pass = taken.pass;
    if (!pass.ask) reached = nextCursor(cursor, { maxSeen: pass.maxSeen, serverSeconds });
    await reader.take(taken.fresh, pass.ask ? undefined : reached);
  }
  return {
    cursor: reached,
    number: number + 1,
    pageRows: pass.limit,
    isExclusive: pass.isExclusive,
    isUnfiltered: false,
  };
}

async function readDescending<T extends UpdatedRow>(
  reading: Reading,
  reader: Reader<T>,
): Promise<Reading> {
  const { cursor, number, pageRows } = reading;
  let pass = beginDescending(overlapFrom(cursor, number), pageRows);
  let serverSeconds: number | undefined;
  let reached = cursor;
  for (let pages = 0; pass.ask; pages++) {
    assertEnds(pages);
    const page = await reader.fetch(pass.ask);
    serverSeconds ??= page.serverSeconds;
    const taken = takeDescendingPage(pass, page.rows);
    pass = taken.pass;
    if (!pass.ask) reached = nextCursor(cursor, { maxSeen: pass.maxSeen, serverSeconds });
    await reader.take(taken.fresh, pass.ask ? undefined : reached);
  }
  return { ...reading, cursor: reached, number: number + 1 };
}

function assertEnds(pages: number): void {
  if (pages >= PAGES_MAX) throw new KommoError('malformed', 'A list of Kommo does not end.');
}

/** Rows of a page when the server did not manage `pageRows` in time; undefined: it was something else, or no less helps. */
export function shorterPage(error: unknown, pageRows: number): number | undefined {
  const isTooMuch = error instanceof KommoError && error.status === 504;
  if (!isTooMuch || pageRows <= PAGE_ROWS_MIN) return undefined;
  return Math.max(PAGE_ROWS_MIN, Math.floor(pageRows / 2));
}
