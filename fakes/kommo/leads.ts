import type { Core } from './core.ts';
import type { Fields } from './fields.ts';
import type { LeadInput } from './inputs.ts';
import { LOST, WON, WorldError } from './model.ts';
import type { LeadRow } from './model.ts';
import type { Pipelines } from './pipelines.ts';
import type { Rows } from './rows.ts';

type Means = {
  core: Core;
  rows: Rows<'leads'>;
  fields: Fields;
  pipelines: Pipelines;
  firstUserId: () => number;
  hasContact: (id: number) => boolean;
};

/** The opportunities of an account. */
export class Leads {
  readonly #of: Means;

  constructor(means: Means) {
    this.#of = means;
  }

  /** As it is now, in the trash or not. */
  get(id: number): LeadRow | undefined {
    return this.#of.rows.table.get(id);
  }

  all(): Iterable<LeadRow> {
    return this.#of.rows.table.rows();
  }

  get count(): number {
    return this.#of.rows.table.size;
  }

  /** How often a lead really changed so far. */
  get edits(): number {
    return this.#of.rows.edits;
  }

  create(input: LeadInput): LeadRow {
    return this.#of.rows.add(this.build(input), input.by ?? 0);
  }

  /** A row that is nowhere yet. */
  build(input: LeadInput, isUnsorted = false): LeadRow {
    const { core, rows, fields, pipelines, firstUserId } = this.#of;
    const { by = 0 } = input;
    const pipelineId = input.pipelineId ?? pipelines.main.id;
    const statusId = input.statusId ?? pipelines.firstStageOf(pipelineId).id;
    this.#assertPlace(pipelineId, statusId);
    const at = core.seconds();
    return {
      id: core.nextId('lead'),
      name: input.name ?? '',
      price: input.price ?? 0,
      responsibleUserId: input.responsibleUserId ?? firstUserId(),
      pipelineId,
      statusId,
      lossReasonId: statusId === LOST ? (input.lossReasonId ?? null) : null,
      createdBy: by,
      updatedBy: by,
      createdAt: at,
      updatedAt: at,
      closedAt: isClosed(statusId) ? at : null,
      closestTaskAt: input.closestTaskAt ?? null,
      fields: fields.apply('leads', new Map(), input.fields ?? {}),
      tagIds: rows.tagIdsOf(input.tags ?? []),
      contacts: this.#contactsOf(input.contactIds ?? []),
      isDeleted: false,
      isUnsorted,
    };
  }

  /** Gives the row; its `updated_at` moves only when something changed. */
  update(id: number, input: LeadInput): LeadRow {
    const row = this.#of.rows.mustBeThere(id);
    return this.#of.rows.edit(row, this.#valuesOf(row, input), { by: input.by ?? 0 });
  }

  touch(id: number): LeadRow {
    return this.#of.rows.touch(id);
  }

  delete(id: number, by = 0): void {
    this.#of.rows.delete(id, by);
  }

  restore(id: number, by = 0): LeadRow {
    return this.#of.rows.restore(id, by);
  }

  purge(id: number, by = 0): void {
    this.#of.rows.purge(id, by);
  }

  /** By name; unknown ones are made. */
  tag(id: number, names: readonly string[], by = 0): LeadRow {
    return this.#of.rows.tag(id, names, by);
  }

  untag(id: number, names: readonly string[], by = 0): LeadRow {
    return this.#of.rows.untag(id, names, by);
  }

  /** The first contact of a lead is its main one, and the one that is linked with `isMain`. */
  link(
    id: number,
    contactId: number,
    { isMain = false, by = 0 }: { isMain?: boolean | undefined; by?: number | undefined } = {},
  ): LeadRow {
    const row = this.#of.rows.mustBeThere(id);
    const others = row.contacts.filter((contact) => contact.id !== contactId);
    const ids = others.map((contact) => contact.id);
    return this.#relink(row, isMain ? [contactId, ...ids] : [...ids, contactId], by);
  }

  unlink(id: number, contactId: number, by = 0): LeadRow {
    const row = this.#of.rows.mustBeThere(id);
    const ids = row.contacts.map((contact) => contact.id);
    return this.#relink(
      row,
      ids.filter((each) => each !== contactId),
      by,
    );
  }

  /** Leads of one contact become leads of another one; for a merge. */
  relink(from: number, to: number, by: number): void {
    for (const row of this.all()) {
      if (!row.contacts.some((contact) => contact.id === from)) continue;
      const ids = row.contacts.map((contact) => (contact.id === from ? to : contact.id));
      this.#relink(row, [...new Set(ids)], by);
    }
  }

  /** Leads of a stage that is removed, of all stages without `statusId`. */
  relocate(
    from: { readonly pipelineId: number; readonly statusId?: number },
    to: { readonly pipelineId: number; readonly statusId: number },
  ): void {
    for (const row of this.all()) {
      if (row.pipelineId !== from.pipelineId) continue;
      if (from.statusId !== undefined && row.statusId !== from.statusId) continue;
      // Won and lost are in every pipeline: there they stay what they are.
      const statusId = isClosed(row.statusId) ? row.statusId : to.statusId;
      this.#of.rows.edit(row, { pipelineId: to.pipelineId, statusId }, { by: 0 });
    }
  }

  #relink(row: LeadRow, ids: readonly number[], by: number): LeadRow {
    const { core, rows } = this.#of;
    const values = { contacts: this.#contactsOf(ids) };
    return rows.edit(row, values, { by, isRaised: core.settings.doLinksRaiseUpdatedAt });
  }

  #contactsOf(ids: readonly number[]): LeadRow['contacts'] {
    const unknown = ids.find((id) => !this.#of.hasContact(id));
    if (unknown !== undefined) throw new WorldError(`there is no contact ${unknown}`);
    return ids.map((id, index) => ({ id, isMain: index === 0 }));
  }

  #valuesOf(row: LeadRow, input: LeadInput): Partial<LeadRow> {
    const { core, rows, fields } = this.#of;
    const pipelineId = input.pipelineId ?? row.pipelineId;
    const statusId = input.statusId ?? this.#statusIn(pipelineId, row);
    this.#assertPlace(pipelineId, statusId);
    const isMoved = statusId !== row.statusId;
    const reason = input.lossReasonId === undefined ? row.lossReasonId : input.lossReasonId;
    const { name, price, responsibleUserId, closestTaskAt, tags, contactIds } = input;
    return {
      pipelineId,
      statusId,
      closedAt: isMoved ? (isClosed(statusId) ? core.seconds() : null) : row.closedAt,
      lossReasonId: statusId === LOST ? reason : null,
      fields: fields.apply('leads', row.fields, input.fields ?? {}),
      ...(name !== undefined && { name }),
      ...(price !== undefined && { price }),
      ...(responsibleUserId !== undefined && { responsibleUserId }),
      ...(closestTaskAt !== undefined && { closestTaskAt }),
      ...(tags !== undefined && { tagIds: rows.tagIdsOf(tags) }),
      ...(contactIds !== undefined && { contacts: this.#contactsOf(contactIds) }),
    };
  }

  /** Where a lead is that only its pipeline was said of. */
  #statusIn(pipelineId: number, row: LeadRow): number {
    const { pipelines } = this.#of;
    if (pipelineId === row.pipelineId || isClosed(row.statusId)) return row.statusId;
    return pipelines.firstStageOf(pipelineId).id;
  }

  #assertPlace(pipelineId: number, statusId: number): void {
    if (this.#of.pipelines.has(pipelineId, statusId)) return;
    throw new WorldError(`there is no stage ${statusId} in pipeline ${pipelineId}`);
  }
}

export const isClosed = (statusId: number): boolean => statusId === WON || statusId === LOST;
