import { drawDelay, type Core } from './core.ts';
import { areSameFields } from './fields.ts';
import { mustFind, SINGULAR, WorldError } from './model.ts';
import type { Change, CommonRow, EntityName, RowOf } from './model.ts';
import { Table } from './table.ts';
import type { Tags } from './catalogue.ts';

/** What an edit may do to a row, besides its values. */
type Edit = {
  readonly kind?: Change['kind'];
  readonly by: number;
  /** Whether `updated_at` moves; it does unless a setting says otherwise. */
  readonly isRaised?: boolean;
};

/**
 * What leads and contacts have in common: a row changes as a whole, its `updated_at` and `updated_by` with it, the lists
 * show it when they do, and it is told to events and webhooks. An edit that changes nothing is none: nothing moves.
 */
export class Rows<E extends EntityName> {
  readonly entity: E;
  readonly table = new Table<E>();
  readonly #core: Core;
  readonly #tags: Tags;
  #edits = 0;

  constructor(entity: E, core: Core, tags: Tags) {
    this.entity = entity;
    this.#core = core;
    this.#tags = tags;
  }

  /** How often a row really changed so far: what a reader without faults has to write at most. */
  get edits(): number {
    return this.#edits;
  }

  /** @throws WorldError when there is none, not even in the trash. */
  must(id: number): RowOf<E> {
    return mustFind(this.table.get(id), `${SINGULAR[this.entity]} ${id}`);
  }

  /** Not in the trash and accepted. */
  mustBeThere(id: number): RowOf<E> {
    const row = this.must(id);
    if (row.isDeleted) throw new WorldError(`${SINGULAR[this.entity]} ${id} is deleted`);
    return row;
  }

  nextId(): number {
    return this.#core.nextId(SINGULAR[this.entity]);
  }

  /** As if it had always been there: no event, no webhook, at once in the lists. */
  insert(row: RowOf<E>): void {
    this.table.put(row, this.#core.clock.now());
  }

  add(row: RowOf<E>, by: number): RowOf<E> {
    this.#put(row);
    if (!row.isUnsorted) this.#tell({ kind: 'added', before: undefined, after: row, by });
    return row;
  }

  /** Gives the row as it is now; the same one when nothing changed. */
  edit(before: RowOf<E>, values: Partial<RowOf<E>> | Partial<CommonRow>, edit: Edit): RowOf<E> {
    const { kind = 'updated', by, isRaised = true } = edit;
    const isChanged = differs(before, values);
    // A merge is one even between twins.
    if (!isChanged && kind !== 'merged') return before;
    const stamp = isRaised ? { updatedAt: this.#core.seconds(), updatedBy: by } : {};
    const after = { ...before, ...values, ...stamp } as RowOf<E>;
    this.#put(after, isChanged);
    this.#tell({ kind, before, after, by });
    return after;
  }

  /** Only its `updated_at`, as a note or a task raises it. */
  touch(id: number): RowOf<E> {
    const after: RowOf<E> = { ...this.mustBeThere(id), updatedAt: this.#core.seconds() };
    this.#put(after, false);
    return after;
  }

  /** To the trash. */
  delete(id: number, by = 0): void {
    this.edit(this.mustBeThere(id), { isDeleted: true }, { kind: 'deleted', by });
  }

  restore(id: number, by = 0): RowOf<E> {
    const row = this.must(id);
    if (!row.isDeleted) throw new WorldError(`${SINGULAR[this.entity]} ${id} is not deleted`);
    return this.edit(row, { isDeleted: false }, { kind: 'restored', by });
  }

  /** Gone for good, without a word: out of the trash too. One that is not in the trash is deleted first. */
  purge(id: number, by = 0): void {
    if (!this.must(id).isDeleted) this.delete(id, by);
    this.drop(id);
  }

  /** The same, and nothing tells that it was deleted. */
  drop(id: number): void {
    if (!this.must(id).isDeleted) this.#edits += 1;
    this.table.remove(id, this.#core.clock.now(), this.#core.listedFromMs());
  }

  tag(id: number, names: readonly string[], by = 0): RowOf<E> {
    const row = this.mustBeThere(id);
    const added = names.map((name) => this.#tags.ensure(this.entity, name).id);
    return this.#retag(row, [...row.tagIds, ...added], by);
  }

  untag(id: number, names: readonly string[], by = 0): RowOf<E> {
    const row = this.mustBeThere(id);
    const removed = names.map((name) => this.#tags.find(this.entity, name)?.id);
    return this.#retag(
      row,
      row.tagIds.filter((tagId) => !removed.includes(tagId)),
      by,
    );
  }

  tagIdsOf(names: readonly string[]): number[] {
    return [...new Set(names.map((name) => this.#tags.ensure(this.entity, name).id))];
  }

  #retag(row: RowOf<E>, tagIds: readonly number[], by: number): RowOf<E> {
    const isRaised = this.#core.settings.doTagsRaiseUpdatedAt;
    return this.edit(row, { tagIds: [...new Set(tagIds)] }, { by, isRaised });
  }

  #put(row: RowOf<E>, isEdit = true): void {
    if (isEdit) this.#edits += 1;
    const { clock } = this.#core;
    const nowMs = clock.now();
    this.table.put(row, nowMs, this.#core.listedFromMs());
  }

  #tell(change: Pick<Change, 'kind' | 'by'> & { before: RowOf<E> | undefined; after: RowOf<E> }) {
    this.#core.tell({ ...change, entity: this.entity } as Change);
  }
}

/** When a change of now reaches the lists. */
export function drawListedFrom(core: Pick<Core, 'clock' | 'random' | 'settings'>): number {
  return core.clock.now() + drawDelay(core.random, core.settings.listDelayMs);
}

function differs(row: object, values: object): boolean {
  const known = new Map<string, unknown>(Object.entries(row));
  return Object.entries(values).some(([key, value]: [string, unknown]) => {
    const before = known.get(key);
    if (before === value) return false;
    if (before instanceof Map && value instanceof Map) return !areSameFields(before, value);
    return JSON.stringify(before) !== JSON.stringify(value);
  });
}
