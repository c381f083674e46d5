import type { EntityName, RowOf } from './model.ts';

export type ListOrder = 'id' | 'updated_at' | 'created_at';

type Lagging<Row> = {
  shown: Row | undefined;
  coming: { readonly row: Row | undefined; readonly fromMs: number }[];
};

/**
 * The rows of one entity, twice: as they are, and as the lists show them. A change may reach the lists later than the row
 * itself (`listDelayMs`), as with a search index behind a database: until then they show the row as it was, a new one not
 * at all and a deleted one still.
 */
export class Table<E extends EntityName> {
  readonly #rows = new Map<number, RowOf<E>>();
  readonly #lagging = new Map<number, Lagging<RowOf<E>>>();
  /** Before this moment none of them catches up. */
  #nextDueMs = Infinity;
  /** Each order is sorted when it is asked for and kept until something changes. */
  readonly #sorted = new Map<ListOrder, readonly RowOf<E>[]>();

  get size(): number {
    return this.#rows.size;
  }

  get(id: number): RowOf<E> | undefined {
    return this.#rows.get(id);
  }

  rows(): Iterable<RowOf<E>> {
    return this.#rows.values();
  }

  /** `listedFromMs`: when the lists begin to show it; now or earlier for at once. */
  put(row: RowOf<E>, nowMs: number, listedFromMs = nowMs): void {
    this.#change({ id: row.id, row, nowMs, listedFromMs });
  }

  /** For good. */
  remove(id: number, nowMs: number, listedFromMs = nowMs): void {
    this.#change({ id, row: undefined, nowMs, listedFromMs });
  }

  /** As the lists show them now, ascending; rows of one second by id. */
  listed(order: ListOrder, nowMs: number): readonly RowOf<E>[] {
    this.#catchUp(nowMs);
    let rows = this.#sorted.get(order);
    if (rows === undefined) {
      rows = this.#shown().sort(COMPARE[order]);
      this.#sorted.set(order, rows);
    }
    return rows;
  }

  #change(to: { id: number; row: RowOf<E> | undefined; nowMs: number; listedFromMs: number }) {
    const { id, row, nowMs, listedFromMs } = to;
    this.#catchUp(nowMs);
    const before = this.#rows.get(id);
    if (row === undefined) this.#rows.delete(id);
    else this.#rows.set(id, row);
    if (listedFromMs <= nowMs) {
      this.#lagging.delete(id);
      this.#sorted.clear();
      return;
    }
    const lagging = this.#lagging.get(id) ?? { shown: before, coming: [] };
    lagging.coming.push({ row, fromMs: listedFromMs });
    this.#lagging.set(id, lagging);
    this.#nextDueMs = Math.min(this.#nextDueMs, listedFromMs);
    // What is sorted holds what the lists show already, and goes on to.
  }

  #catchUp(nowMs: number): void {
    if (nowMs < this.#nextDueMs) return;
    this.#nextDueMs = Infinity;
    for (const [id, lagging] of this.#lagging) {
      // A later version that comes earlier has the earlier one with it.
      const last = lagging.coming.findLastIndex(({ fromMs }) => fromMs <= nowMs);
      if (last !== -1) {
        this.#sorted.clear();
        lagging.shown = lagging.coming[last]?.row;
        lagging.coming.splice(0, last + 1);
      }
      if (lagging.coming.length === 0) this.#lagging.delete(id);
      for (const { fromMs } of lagging.coming) {
        this.#nextDueMs = Math.min(this.#nextDueMs, fromMs);
      }
    }
  }

  #shown(): RowOf<E>[] {
    if (this.#lagging.size === 0) return [...this.#rows.values()];
    const rows: RowOf<E>[] = [];
    for (const row of this.#rows.values()) if (!this.#lagging.has(row.id)) rows.push(row);
    for (const { shown } of this.#lagging.values()) if (shown !== undefined) rows.push(shown);
    return rows;
  }
}

type Sortable = { readonly id: number; readonly updatedAt: number; readonly createdAt: number };
const COMPARE: Readonly<Record<ListOrder, (a: Sortable, b: Sortable) => number>> = {
  id: (a, b) => a.id - b.id,
  updated_at: (a, b) => a.updatedAt - b.updatedAt || a.id - b.id,
  created_at: (a, b) => a.createdAt - b.createdAt || a.id - b.id,
};
