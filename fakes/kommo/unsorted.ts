import type { Contacts } from './contacts.ts';
import type { Core } from './core.ts';
import type { ContactInput, LeadInput } from './inputs.ts';
import type { Leads } from './leads.ts';
import { mustFind } from './model.ts';
import type { ContactRow, LeadRow } from './model.ts';
import type { Pipelines } from './pipelines.ts';
import type { Rows } from './rows.ts';

export type Incoming = {
  readonly uid: string;
  readonly createdAt: number;
  readonly pipelineId: number;
  readonly leadId: number;
  readonly contactId: number;
};
export type IncomingOutcome = {
  readonly action: 'added' | 'accept' | 'decline';
  readonly incoming: Incoming;
};

type Means = {
  core: Core;
  leads: Leads;
  contacts: Contacts;
  pipelines: Pipelines;
  leadRows: Rows<'leads'>;
  contactRows: Rows<'contacts'>;
  tell: (outcome: IncomingOutcome) => void;
};

/** Incoming leads: a lead and its contact that are in no list until somebody accepts them. */
export class Unsorted {
  readonly #of: Means;
  readonly #waiting = new Map<string, Incoming>();

  constructor(means: Means) {
    this.#of = means;
  }

  list(): Incoming[] {
    return [...this.#waiting.values()];
  }

  add(input: { lead?: LeadInput | undefined; contact?: ContactInput | undefined }): Incoming {
    const { core, leads, contacts, pipelines, leadRows, contactRows } = this.#of;
    const pipeline = mustFind(
      input.lead?.pipelineId === undefined ? pipelines.main : pipelines.get(input.lead.pipelineId),
      'such pipeline',
    );
    const incomingStage = pipeline.stages.find(({ type }) => type === 1);
    const contact = contactRows.add(contacts.build(input.contact ?? {}, true), 0);
    const place = { pipelineId: pipeline.id, statusId: incomingStage?.id };
    const lead = leadRows.add(
      leads.build({ ...input.lead, ...place, contactIds: [contact.id] }, true),
      0,
    );
    const incoming: Incoming = {
      uid: core.random.hex(40),
      createdAt: core.seconds(),
      pipelineId: pipeline.id,
      leadId: lead.id,
      contactId: contact.id,
    };
    this.#waiting.set(incoming.uid, incoming);
    this.#of.tell({ action: 'added', incoming });
    return incoming;
  }

  /** From now on in the lists; on the first stage when none is named. */
  accept(uid: string, { statusId, by = 0 }: { statusId?: number; by?: number } = {}): void {
    const { leadRows, contactRows, pipelines } = this.#of;
    const incoming = this.#take(uid);
    const lead = leadRows.must(incoming.leadId);
    const contact = contactRows.must(incoming.contactId);
    const stage = statusId ?? pipelines.firstStageOf(lead.pipelineId).id;
    const isAccepted = { isUnsorted: false };
    contactRows.edit(contact, isAccepted satisfies Partial<ContactRow>, { kind: 'added', by });
    const values = { ...isAccepted, statusId: stage } satisfies Partial<LeadRow>;
    leadRows.edit(lead, values, { kind: 'added', by });
    this.#of.tell({ action: 'accept', incoming });
  }

  /** The lead and its contact are gone for good. */
  decline(uid: string): void {
    const incoming = this.#take(uid);
    this.#of.leadRows.drop(incoming.leadId);
    this.#of.contactRows.drop(incoming.contactId);
    this.#of.tell({ action: 'decline', incoming });
  }

  #take(uid: string): Incoming {
    const incoming = mustFind(this.#waiting.get(uid), `incoming lead ${uid}`);
    this.#waiting.delete(uid);
    return incoming;
  }
}
