import { createHash } from 'node:crypto';

/** Rows of an edit of thousands, and some; a few hundred kilobytes for each list of a connection. */
const ROWS_MAX = 5_000;

/** When a look was asked for and when it was answered: numbers that only grow, not times. */
export type LookedAt = { readonly sent: number; readonly received: number };

type Row = { readonly id: number; readonly updated_at: number };
type Known = { readonly digest: string; readonly moment: number; readonly at: LookedAt };

/** `current`: to be written. `doubtful`: two looks were under way at once, and nobody knows which is the newer one. */
export type Sifted<T> = { readonly current: T[]; readonly doubtful: number[] };

/**
 * What was read lately, and how it looked: rows that a pass reads again, because it goes back a little, cost no query. The
 * moment of a row alone does not say that it is the same: two edits of one second have one moment, and a tag may not move
 * it at all. For the same reason it does not say which of two looks is the newer one, when several requests are under way.
 */
export class SeenRows {
  readonly #known = new Map<number, Known>();
  readonly #max: number;

  constructor(max = ROWS_MAX) {
    this.#max = max;
  }

  /** Those that are not known to look like this. */
  filterNew<T extends Row>(rows: readonly T[]): T[] {
    return rows.filter((row) => this.#known.get(row.id)?.digest !== digestOf(row));
  }

  /** Leaves out what somebody has looked at since this look, or what looked newer then. */
  sift<T extends Row>(rows: readonly T[], at: LookedAt): Sifted<T> {
    const current: T[] = [];
    const doubtful: number[] = [];
    for (const row of rows) {
      const known = this.#known.get(row.id);
      if (!known || row.updated_at > known.moment) current.push(row);
      else if (row.updated_at === known.moment) {
        const isOverlapping = at.sent < known.at.received && known.at.sent < at.received;
        if (isOverlapping && known.digest !== digestOf(row)) doubtful.push(row.id);
        if (at.sent > known.at.sent) current.push(row);
      }
    }
    return { current, doubtful };
  }

  /** For when they were written. The oldest are forgotten. */
  note(rows: readonly Row[], at: LookedAt): void {
    for (const row of rows) {
      this.#known.delete(row.id);
      this.#known.set(row.id, { digest: digestOf(row), moment: row.updated_at, at });
    }
    for (const id of this.#known.keys()) {
      if (this.#known.size <= this.#max) break;
      this.#known.delete(id);
    }
  }

  /** What becomes of a row has changed, though the row has not. */
  forgetAll(): void {
    this.#known.clear();
  }

  forget(ids: readonly number[]): void {
    for (const id of ids) this.#known.delete(id);
  }
}

/** Of a document, but for its links: they say how it was asked for. */
export function digestOf(document: unknown): string {
  return createHash('sha256').update(printed(document)).digest('base64').slice(0, 22);
}

function printed(document: unknown): string {
  const print = (value: unknown): string =>
    JSON.stringify(value, (name, part: unknown) => (name === '_links' ? undefined : part));
  try {
    return print(document);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // Parsed, however deep it is, but too deep to be printed: what is mapped does not go that deep either.
    return print(cutBelow(document, DEPTH_MAX));
  }
}

const DEPTH_MAX = 32;

function cutBelow(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) return value.map((part) => cutBelow(part, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, cutBelow(part, depth - 1)]),
  );
}
