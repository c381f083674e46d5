import { createHash } from 'node:crypto';

/** Rows of an edit of thousands, and some; a few hundred kilobytes for each list of a connection. */
const ROWS_MAX = 5_000;

/**
 * What was read lately, and how it looked: rows that a pass reads again, because it goes back a little, cost no query. The
 * moment of a row alone does not say that it is the same: two edits of one second have one moment.
 */
export class SeenRows {
  readonly #digests = new Map<number, string>();
  readonly #max: number;

  constructor(max = ROWS_MAX) {
    this.#max = max;
  }

  /** Those that are not known to look like this. */
  filterNew<T extends { readonly id: number }>(rows: readonly T[]): T[] {
    return rows.filter((row) => this.#digests.get(row.id) !== digestOf(row));
  }

  /** For when they were written. The oldest are forgotten. */
  note(rows: readonly { readonly id: number }[]): void {
    for (const row of rows) {
      this.#digests.delete(row.id);
      this.#digests.set(row.id, digestOf(row));
    }
    for (const id of this.#digests.keys()) {
      if (this.#digests.size <= this.#max) break;
      this.#digests.delete(id);
    }
  }

  /** What becomes of a row has changed, though the row has not. */
  forgetAll(): void {
    this.#digests.clear();
  }

  forget(ids: readonly number[]): void {
    for (const id of ids) this.#digests.delete(id);
  }
}

/** Of a document, but for its links: they say how it was asked for. */
export function digestOf(document: unknown): string {
  const text = JSON.stringify(document, (name, value: unknown) =>
    name === '_links' ? undefined : value,
  );
  return createHash('sha256').update(text).digest('base64').slice(0, 22);
}
