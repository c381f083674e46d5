import type { ContactGiven, LeadGiven } from './kommo-apply-documents.ts';
import { bareContact, type ModelContact, type ModelLead } from './kommo-apply-model.ts';

/**
 * What Kommo's pages and people make of an account, one row after the other and as simply as it can be said. Which contact
 * a phone leads to where several Kommo contacts have it is the database's to say (`owners`, read from it before a page).
 */
type ContactLook = {
  at: number;
  doc: ContactGiven;
  deletedAt: number | undefined;
  contact: ModelContact;
};
type LeadLook = {
  at: number;
  /** What is read of it, as text. */
  seen: string;
  doc: LeadGiven | undefined;
  deletedAt: number | undefined;
  lead: ModelLead;
  assignedTo: number | null;
  isArchivedByUs: boolean;
  isTrashedByUs: boolean;
  placeholder: ModelContact | undefined;
};

export type Oracle = {
  readonly contacts: Set<ModelContact>;
  readonly leads: Map<number, ModelLead>;
  /** Contacts that phones lead to. */
  owners: Map<string, ModelContact>;
  contact(kommoId: number): ModelContact | undefined;
  applyContact(doc: ContactGiven): { isMerged: boolean };
  applyLead(doc: LeadGiven, absent: ReadonlySet<number>): { isReclosed: boolean };
  bury(entity: 'contact' | 'lead', id: number, at: number | undefined): void;
  receive(phone: string, pushName: string): void;
  /** People put a lead there, or took it out. */
  mark(lead: ModelLead, mark: 'isArchived' | 'isTrashed', isSet: boolean): void;
};

export type OracleSetting = {
  readonly followed: number;
  readonly kommoTags: ReadonlySet<string>;
  /** Members of ours by Kommo's users. */
  readonly members: ReadonlyMap<number, number>;
};

const keyOf = (phone: string): string => phone.replace('+', '');
const text = (value: string | null | undefined): string | null => (value ? value : null);

export function createOracle(setting: OracleSetting): Oracle {
  const contacts = new Set<ModelContact>();
  const leads = new Map<number, ModelLead>();
  const contactLooks = new Map<number, ContactLook>();
  const leadLooks = new Map<number, LeadLook>();
  const jids = new Map<string, ModelContact>();
  const oracle: Oracle = {
    contacts,
    leads,
    owners: new Map(),
    contact: (kommoId) => contactLooks.get(kommoId)?.contact,
    applyContact,
    applyLead,
    bury,
    receive,
    mark: (lead, mark, isSet) => {
      lead[mark] = isSet;
      const look = leadLooks.get(lead.kommoId);
      if (look) look[mark === 'isArchived' ? 'isArchivedByUs' : 'isTrashedByUs'] = false;
    },
  };
  return oracle;

  function applyContact(doc: ContactGiven): { isMerged: boolean } {
    const at = doc.at ?? 0;
    const look = contactLooks.get(doc.id);
    const seen = ({ name, lastName, emails, phones, fields, tags }: ContactGiven): string =>
      JSON.stringify([
        text(name),
        text(lastName),
        emails?.[0] ?? null,
        phones ?? [],
        sorted(fields),
        idsOf(tags),
      ]);
    if (look && at < (look.deletedAt ?? look.at)) return { isMerged: false };
    if (look && look.deletedAt === undefined && seen(look.doc) === seen(doc))
      return { isMerged: false };
    const keys = (doc.phones ?? []).map(keyOf);
    const free = new Set(
      keys.flatMap((key) => {
        const owner = oracle.owners.get(key);
        return owner && owner.kommoId === undefined && owner !== look?.contact ? [owner] : [];
      }),
    );
    const [first] = free;
    const contact = look?.contact ?? first ?? bareContact();
    free.delete(contact);
    contacts.add(contact);
    for (const other of free) merge(contact, other);
    contact.kommoId = doc.id;
    writeContact(contact, doc, look?.doc);
    contactLooks.set(doc.id, { at, doc, deletedAt: undefined, contact });
    return { isMerged: free.size > 0 };
  }

  function merge(winner: ModelContact, loser: ModelContact): void {
    winner.jid ??= loser.jid;
    winner.phone ??= loser.phone;
    winner.pushName ??= loser.pushName;
    winner.notes ??= loser.notes;
    winner.isBarred ||= loser.isBarred;
    winner.fields = { ...loser.fields, ...winner.fields };
    for (const tag of loser.tags) winner.tags.add(tag);
    contacts.delete(loser);
    for (const map of [oracle.owners, jids])
      for (const [key, owner] of map) if (owner === loser) map.set(key, winner);
  }

  function writeContact(
    contact: ModelContact,
    doc: ContactGiven,
    before: ContactGiven | undefined,
  ): void {
    const take = (now: string | null, then: string | null | undefined, kept: string | null) =>
      now ?? (then ? null : kept);
    const nameOf = (given: ContactGiven | undefined) => text(given?.name) ?? text(given?.lastName);
    contact.name = take(nameOf(doc), nameOf(before), contact.name);
    contact.lastName = take(text(doc.lastName), before?.lastName, contact.lastName);
    contact.email = take(doc.emails?.[0] ?? null, before?.emails?.[0], contact.email);
    const [main] = doc.phones ?? [];
    const wasGiven = before?.phones?.map(keyOf).includes(contact.phone ?? '') ?? false;
    const isWhatsApp = contact.jid === `${contact.phone}@s.whatsapp.net`;
    contact.phone = main ? keyOf(main) : wasGiven && !isWhatsApp ? null : contact.phone;
    contact.isDeleted = false;
    writeExtras(contact, doc, before);
  }

  /** Fields and tags: those of Kommo are as it says, the others stay. */
  function writeExtras(
    row: ModelContact | ModelLead,
    doc: ContactGiven | LeadGiven,
    before: ContactGiven | LeadGiven | undefined,
  ): void {
    for (const name of Object.keys(before?.fields ?? {})) delete row.fields[name];
    Object.assign(row.fields, doc.fields);
    for (const tag of row.tags) if (setting.kommoTags.has(tag)) row.tags.delete(tag);
    for (const { name } of doc.tags ?? []) row.tags.add(name);
  }

  function applyLead(doc: LeadGiven, absent: ReadonlySet<number>): { isReclosed: boolean } {
    const at = doc.at ?? 0;
    const look = leadLooks.get(doc.id);
    const isAway = doc.pipeline !== setting.followed;
    if (!look && isAway) return { isReclosed: false };
    const [main] = doc.contacts ?? [];
    const contactId = main !== undefined && absent.has(main) ? undefined : main;
    const isClosed = doc.status === 142 || doc.status === 143;
    const assignedTo = setting.members.get(doc.responsible ?? 0) ?? null;
    const reason = isClosed ? text(doc.lossReason) : null;
    const seen = isAway
      ? 'away'
      : JSON.stringify([
          text(doc.name),
          doc.price ?? 0,
          doc.status,
          assignedTo,
          contactId ?? null,
          reason,
          isClosed ? (doc.closedAt ?? null) : null,
          sorted(doc.fields),
          idsOf(doc.tags),
        ]);
    if (look && at < (look.deletedAt ?? look.at)) return { isReclosed: false };
    if (look && look.deletedAt === undefined && look.seen === seen) return { isReclosed: false };
    const lead = look?.lead ?? newLead(doc.id);
    leads.set(doc.id, lead);
    if (look?.isTrashedByUs) lead.isTrashed = false;
    lead.isDeleted = false;
    const next = { at, seen, deletedAt: undefined, lead, isTrashedByUs: false };
    if (look && isAway) {
      const isOurs = look.seen === 'away' ? look.isArchivedByUs : !lead.isArchived;
      lead.isArchived = look.seen === 'away' ? lead.isArchived : true;
      leadLooks.set(doc.id, { ...look, ...next, isArchivedByUs: isOurs });
      return { isReclosed: false };
    }
    if (look?.isArchivedByUs) lead.isArchived = false;
    const before = look?.doc;
    const placeholder = placeLead(lead, doc, {
      contactId,
      placeholder: look?.placeholder,
      isNew: !look,
    });
    const wasClosedFor =
      before && (before.status === 142 || before.status === 143) ? text(before.lossReason) : null;
    const isReclosed = isClosed && lead.closedAt === doc.closedAt && lead.status !== doc.status;
    lead.title = text(doc.name) ?? `Lead #${doc.id}`;
    lead.value = (doc.price ?? 0).toFixed(2);
    lead.assignedTo =
      assignedTo ?? (look && look.assignedTo === lead.assignedTo ? null : lead.assignedTo);
    lead.closeReason = reason ?? (wasClosedFor ? null : lead.closeReason);
    lead.status = doc.status;
    lead.closedAt = isClosed ? (doc.closedAt ?? null) : null;
    writeExtras(lead, doc, before);
    leadLooks.set(doc.id, { ...next, doc, assignedTo, isArchivedByUs: false, placeholder });
    return { isReclosed };
  }

  function newLead(kommoId: number): ModelLead {
    return {
      kommoId,
      contact: bareContact(),
      title: '',
      value: '',
      status: 0,
      assignedTo: null,
      closeReason: null,
      closedAt: null,
      notes: null,
      isArchived: false,
      isTrashed: false,
      isDeleted: false,
      fields: {},
      tags: new Set(),
    };
  }

  type Placing = {
    contactId: number | undefined;
    placeholder: ModelContact | undefined;
    isNew: boolean;
  };

  /** Gives the contact that was made for it, as long as it has no other. */
  function placeLead(
    lead: ModelLead,
    doc: LeadGiven,
    { contactId, placeholder }: Placing,
  ): ModelContact | undefined {
    const title = text(doc.name) ?? `Lead #${doc.id}`;
    if (contactId === undefined) {
      const own = placeholder ?? { ...bareContact(), name: title };
      if (placeholder && placeholder.name === lead.title) placeholder.name = title;
      if (!placeholder) lead.contact = own;
      contacts.add(own);
      return own;
    }
    const contact = oracle.contact(contactId);
    if (!contact) throw new Error(`contact ${contactId} is not known to the oracle`);
    lead.contact = contact;
    if (
      placeholder &&
      placeholder.notes === null &&
      !placeholder.isBarred &&
      placeholder.tags.size === 0
    )
      contacts.delete(placeholder);
    return undefined;
  }

  function bury(entity: 'contact' | 'lead', id: number, at: number | undefined): void {
    const look = (entity === 'contact' ? contactLooks : leadLooks).get(id);
    if (!look || look.deletedAt !== undefined || (at !== undefined && at < look.at)) return;
    look.deletedAt = at ?? look.at;
    if ('contact' in look) look.contact.isDeleted = true;
    else {
      look.isTrashedByUs = !look.lead.isTrashed;
      look.lead.isTrashed = true;
      look.lead.isDeleted = true;
    }
  }

  function receive(phone: string, pushName: string): void {
    const jid = `${phone}@s.whatsapp.net`;
    const contact = jids.get(jid) ??
      oracle.owners.get(phone) ?? { ...bareContact(), source: 'whatsapp' };
    contacts.add(contact);
    if (!jids.has(jid)) jids.set(jid, contact);
    contact.jid ??= jid;
    if (!oracle.owners.has(phone)) {
      oracle.owners.set(phone, contact);
      contact.phone ??= phone;
    }
    contact.pushName = pushName;
  }
}

function sorted(fields: Readonly<Record<string, unknown>> = {}): [string, unknown][] {
  return Object.entries(fields).toSorted(([one], [other]) => (one < other ? -1 : 1));
}

function idsOf(tags: readonly { id: number }[] = []): number[] {
  return tags.map(({ id }) => id).toSorted((one, other) => one - other);
}
