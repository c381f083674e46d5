import { formatLsn, parseLsn, type Lsn } from './lsn.ts';

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
