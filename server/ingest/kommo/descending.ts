import type { UpdatedRow } from './keyset.ts';

/**
 * A pass over everything that changed since a moment, at a server that orders but does not filter: newest first, until
 * the rows are older. Rows that are edited meanwhile come in front and push the others back, so that some are seen twice
 * and none is skipped. One that is deleted, or not in the list for a moment, lets another slip through, and so do rows of
 * one moment whose order is not the same each time: what that costs is found by the reconciliation.
 */
export type Descending = {
  /** Undefined: the pass is complete. */
  readonly ask: { readonly page: number; readonly limit: number } | undefined;
  readonly from: number;
  readonly maxSeen: number | undefined;
};

export function beginDescending(from: number, limit: number): Descending {
  return { from, ask: { page: 1, limit }, maxSeen: undefined };
}

export function takeDescendingPage<T extends UpdatedRow>(
  pass: Descending,
  rows: readonly T[],
): { pass: Descending; fresh: T[] } {
  const { ask, from } = pass;
  if (!ask) return { pass, fresh: [] };
  const moments = rows.map((row) => row.updated_at);
  const isOver = rows.length < ask.limit || Math.min(...moments) < from;
  return {
    pass: {
      from,
      maxSeen: rows.length > 0 ? Math.max(pass.maxSeen ?? 0, ...moments) : pass.maxSeen,
      ask: isOver ? undefined : { page: ask.page + 1, limit: ask.limit },
    },
    fresh: rows.filter((row) => row.updated_at >= from),
  };
}
