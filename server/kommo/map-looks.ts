/** A row of Kommo's as it looked when it was read. */
export type Look = {
  readonly id: number;
  /** Unix seconds by Kommo's clock. */
  readonly updatedAt: number;
  readonly isDeleted: boolean;
  /** Hex of what is mapped. */
  readonly hash: string;
};

/** The last look that was written, and who keeps it. */
export type KnownLook = Omit<Look, 'isDeleted'> & {
  /** Unix seconds of its deletion over there; null while it is there. */
  readonly deletedAt: number | null;
  /** Another connection of the account that is still read, one that no longer is, or this one. */
  readonly keeper: 'us' | 'other' | 'nobody';
};

/**
 * What a look asks for. `tombstone`: it says itself that it was deleted. Of two looks of the same second the one that
 * comes later counts, also against a tombstone: a restoration must not be lost, and a look that was late is put right
 * when deletions are asked for the next time. A later look that says the same is nothing: its moment is not worth a write,
 * and whoever reads keeps it in memory (SeenRows).
 */
export type Verdict = 'nothing' | 'write' | 'tombstone';

export function judgeLook(look: Look, known: KnownLook | undefined): Verdict {
  if (!known || known.keeper === 'nobody') return look.isDeleted ? 'nothing' : 'write';
  if (known.keeper === 'other') return 'nothing';
  if (look.isDeleted)
    return known.deletedAt === null && look.updatedAt >= known.updatedAt ? 'tombstone' : 'nothing';
  if (known.deletedAt !== null) return look.updatedAt >= known.deletedAt ? 'write' : 'nothing';
  return look.updatedAt >= known.updatedAt && look.hash !== known.hash ? 'write' : 'nothing';
}

/** Each row once, as it looked last, in the order in which those looks came. */
export function newestLooks<Row extends { readonly id: number; readonly updated_at: number }>(
  rows: readonly Row[],
): Row[] {
  const newest = new Map<number, Row>();
  for (const row of rows) {
    const other = newest.get(row.id);
    if (other && other.updated_at > row.updated_at) continue;
    newest.delete(row.id);
    newest.set(row.id, row);
  }
  return [...newest.values()];
}
