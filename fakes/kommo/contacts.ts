import type { Core } from './core.ts';
import type { Fields } from './fields.ts';
import type { ContactInput, FieldInput } from './inputs.ts';
import { WorldError } from './model.ts';
import type { ContactRow, FieldValues } from './model.ts';
import type { Rows } from './rows.ts';

type Means = {
  core: Core;
  rows: Rows<'contacts'>;
  fields: Fields;
  firstUserId: () => number;
  /** Leads of the one become leads of the other. */
  relink: (from: number, to: number, by: number) => void;
};

/** The people of an account. */
export class Contacts {
  readonly #of: Means;

  constructor(means: Means) {
    this.#of = means;
  }

  /** As it is now, in the trash or not. */
  get(id: number): ContactRow | undefined {
    return this.#of.rows.table.get(id);
  }

  all(): Iterable<ContactRow> {
    return this.#of.rows.table.rows();
  }

  get count(): number {
    return this.#of.rows.table.size;
  }

  /** How often a contact really changed so far. */
  get edits(): number {
    return this.#of.rows.edits;
  }

  create(input: ContactInput): ContactRow {
    const { rows } = this.#of;
    return rows.add(this.build(input), input.by ?? 0);
  }

  /** A row that is nowhere yet. */
  build(input: ContactInput, isUnsorted = false): ContactRow {
    const { core, rows, firstUserId } = this.#of;
    const { firstName = '', lastName = '', by = 0 } = input;
    const at = core.seconds();
    return {
      id: core.nextId('contact'),
      name: input.name ?? [firstName, lastName].filter(Boolean).join(' '),
      firstName,
      lastName,
      responsibleUserId: input.responsibleUserId ?? firstUserId(),
      createdBy: by,
      updatedBy: by,
      createdAt: at,
      updatedAt: at,
      closestTaskAt: input.closestTaskAt ?? null,
      fields: this.#fieldsOf(new Map(), input),
      tagIds: rows.tagIdsOf(input.tags ?? []),
      isDeleted: false,
      isUnsorted,
    };
  }

  /** Gives the row; its `updated_at` moves only when something changed. */
  update(id: number, input: ContactInput): ContactRow {
    const { rows } = this.#of;
    const row = rows.mustBeThere(id);
    return rows.edit(row, this.#valuesOf(row, input), { by: input.by ?? 0 });
  }

  touch(id: number): ContactRow {
    return this.#of.rows.touch(id);
  }

  delete(id: number, by = 0): void {
    this.#of.rows.delete(id, by);
  }

  restore(id: number, by = 0): ContactRow {
    return this.#of.rows.restore(id, by);
  }

  purge(id: number, by = 0): void {
    this.#of.rows.purge(id, by);
  }

  /** By name; unknown ones are made. */
  tag(id: number, names: readonly string[], by = 0): ContactRow {
    return this.#of.rows.tag(id, names, by);
  }

  untag(id: number, names: readonly string[], by = 0): ContactRow {
    return this.#of.rows.untag(id, names, by);
  }

  /**
   * One takes over what the other has and it does not: values of fields (of phones and e-mails all), tags, leads. The
   * other one is gone for good, and whether anything says so is a setting (`doesMergeTellDeleted`).
   */
  merge(merge: { into: number; from: number; by?: number | undefined }): ContactRow {
    const { core, rows, relink, fields } = this.#of;
    const { into, from, by = 0 } = merge;
    if (into === from) throw new WorldError('a contact is not merged with itself');
    const [winner, loser] = [rows.mustBeThere(into), rows.mustBeThere(from)];
    relink(from, into, by);
    if (core.settings.doesMergeTellDeleted) rows.purge(from, by);
    else rows.drop(from);
    const isMultitext = (id: number): boolean => fields.get('contacts', id)?.type === 'multitext';
    const values = {
      fields: mergeFields(winner.fields, loser.fields, isMultitext),
      tagIds: [...new Set([...winner.tagIds, ...loser.tagIds])],
    };
    return rows.edit(winner, values, { kind: 'merged', by });
  }

  #valuesOf(row: ContactRow, input: ContactInput): Partial<ContactRow> {
    const firstName = input.firstName ?? row.firstName;
    const lastName = input.lastName ?? row.lastName;
    const isRenamed = firstName !== row.firstName || lastName !== row.lastName;
    const full = isRenamed ? [firstName, lastName].filter(Boolean).join(' ') : row.name;
    const { responsibleUserId, closestTaskAt, tags } = input;
    return {
      name: input.name ?? full,
      firstName,
      lastName,
      fields: this.#fieldsOf(row.fields, input),
      ...(responsibleUserId !== undefined && { responsibleUserId }),
      ...(closestTaskAt !== undefined && { closestTaskAt }),
      ...(tags !== undefined && { tagIds: this.#of.rows.tagIdsOf(tags) }),
    };
  }

  #fieldsOf(before: FieldValues, input: ContactInput): FieldValues {
    const patch: Record<string, FieldInput> = { ...input.fields };
    if (input.phones !== undefined) patch['PHONE'] = input.phones;
    if (input.emails !== undefined) patch['EMAIL'] = input.emails;
    return this.#of.fields.apply('contacts', before, patch);
  }
}

function mergeFields(
  winner: FieldValues,
  loser: FieldValues,
  isMultitext: (id: number) => boolean,
): FieldValues {
  const merged = new Map(winner);
  for (const [id, values] of loser) {
    const own = merged.get(id);
    if (own === undefined) merged.set(id, values);
    else if (isMultitext(id)) {
      const known = new Set(own.map(({ value }) => value));
      merged.set(id, [...own, ...values.filter(({ value }) => !known.has(value))]);
    }
  }
  return merged;
}
