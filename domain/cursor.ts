import { formatLsn, parseLsn, toLsn, type Lsn } from './lsn.ts';

/**
 * A place in an account's history: everything up to and including the commit at `lsn` is known to
 * whoever holds it. Cursors of different epochs cannot be compared: the history between is not vouched for.
 * Text form `<epoch>.<lsn>`, for example `k3v9q2m1.16/B374D848`.
 */
export type Cursor = { readonly epoch: string; readonly lsn: Lsn };

export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}.${formatLsn(cursor.lsn)}`;
}

/** Undefined when the text is not a cursor. */
export function parseCursor(text: string): Cursor | undefined {
  const dot = text.indexOf('.');
  if (dot < 1 || text.length > 64) return undefined;
  const epoch = text.slice(0, dot);
  const lsn = parseLsn(text.slice(dot + 1));
  if (!/^[a-z0-9]+$/.test(epoch) || lsn === undefined) return undefined;
  return { epoch, lsn };
}

/**
 * The cursor of a position. A position is where commit records end that have been applied, a cursor names one by where
 * it begins, and the next one may begin exactly where the last one ended: so the cursor is one byte before.
 */
export function cursorOfPosition(epoch: string, position: Lsn): Cursor {
  return { epoch, lsn: position === 0n ? position : toLsn(position - 1n) };
}
