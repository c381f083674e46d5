import { contacts } from '../../domain/entities/contacts.ts';
import { phoneMatchKey } from '../../domain/phone.ts';
import type { Address, CheckedContact, RecordFault } from '../../platform/csv/contact-record.ts';

/** A contact as it is stored, with the texts of Postgres (booleans `true`, `false`). */
export type KnownContact = {
  readonly id: number;
  readonly values: Readonly<Record<string, string | null>>;
  readonly customFields: Readonly<Record<string, unknown>>;
  /** Those of the batch's addresses and e-mails (in lower case) that lead to it. */
  readonly addresses: readonly Address[];
  readonly emails: readonly string[];
  /** Keys of the mere names that do. */
  readonly names: readonly string[];
};

export type Outcome =
  | { readonly kind: 'created' | 'updated' | 'unchanged' }
  | { readonly kind: 'failed'; readonly fault: RecordFault };

/** A contact that rows of the batch are about: one that is there, or one that they make. */
export type Target = {
  readonly id: number | undefined;
  /** What is to be written: all there is of a new one, what differs of another. */
  readonly changes: Record<string, string>;
  readonly customFields: Record<string, string>;
};

export type Plan = {
  /** In the order of the batch. */
  readonly outcomes: Outcome[];
  readonly targets: readonly Target[];
  /** Tags of the rows that did not fail, by the row's place in the batch. */
  readonly tags: readonly { readonly at: number; readonly target: Target; readonly tag: string }[];
};

type Slot = Target & {
  readonly before: KnownContact | undefined;
  readonly values: Record<string, string | null>;
  readonly stored: Record<string, unknown>;
  /** Places of the rows that changed something of it. */
  readonly changedBy: number[];
};

/**
 * Decides what a batch of rows does, in their order and without a database: which contact each is about, and what of it
 * differs. Two rows of one person are one contact, the second on top of the first; when all of them together leave a
 * contact as it was, none has changed it.
 *
 * A row is about the contact that its WhatsApp address or its phone leads to. By e-mail it is found when the row has
 * neither, or when the contact that has it knows no phone: people share an address, of an office or a family, and two
 * phones are two people. A row that has nothing but a name is about the contact of whom no more is known either: it would
 * be another one each time the file is imported.
 */
export function planImport(rows: readonly CheckedContact[], known: readonly KnownContact[]): Plan {
  const book = new AddressBook();
  const slots = known.map(createSlot);
  for (const slot of slots) if (slot.before) book.add(slot, slot.before);
  const outcomes: Outcome[] = [];
  const tags: { at: number; target: Target; tag: string }[] = [];
  rows.forEach((row, at) => {
    const found = book.find(row);
    const slot = found?.slot ?? createSlot(undefined);
    const outcome = applyRow(slot, row, {
      at,
      isNew: !found,
      isByNumber: found?.isByNumber ?? false,
    });
    outcomes.push(outcome);
    if (outcome.kind === 'failed') return;
    if (!found) slots.push(slot);
    const email = row.values['email'];
    const name = mereName(row);
    book.add(slot, {
      addresses: row.addresses,
      emails: email === undefined ? [] : [email.toLowerCase()],
      names: name === undefined ? [] : [name.key],
    });
    for (const tag of row.tags) tags.push({ at, target: slot, tag });
  });
  for (const slot of slots) {
    settleChanges(slot);
    if (hasChanges(slot)) continue;
    for (const at of slot.changedBy) outcomes[at] = { kind: 'unchanged' };
  }
  return { outcomes, targets: slots.filter(hasChanges), tags };
}

/** What a row says of somebody of whom it says nothing to write to; undefined for all others. */
export function mereName({ values, addresses }: CheckedContact) {
  if (addresses.length > 0 || values['email'] !== undefined) return undefined;
  const called = values['custom_name'] ?? values['name'] ?? '';
  const lastName = values['last_name'] ?? '';
  return { key: JSON.stringify([called, lastName]), called, lastName };
}

function createSlot(before: KnownContact | undefined): Slot {
  return {
    id: before?.id,
    before,
    values: { ...before?.values },
    stored: { ...before?.customFields },
    changedBy: [],
    changes: {},
    customFields: {},
  };
}

/** What is different in the end: between, it may have been something else. */
function settleChanges({ before, values, stored, changes, customFields }: Slot): void {
  for (const [field, value] of Object.entries(values))
    if (value !== null && value !== (before?.values[field] ?? null)) changes[field] = value;
  for (const [name, value] of Object.entries(stored)) {
    if (typeof value === 'string' && !isSame(before?.customFields[name], value))
      customFields[name] = value;
  }
}

function hasChanges({ id, changes, customFields }: Slot): boolean {
  return (
    id === undefined || Object.keys(changes).length > 0 || Object.keys(customFields).length > 0
  );
}

type Application = { readonly at: number; readonly isNew: boolean; readonly isByNumber: boolean };

/** Takes over what the row says and the contact does not; nothing at all when the row cannot be. */
function applyRow(
  slot: Slot,
  row: CheckedContact,
  { at, isNew, isByNumber }: Application,
): Outcome {
  const stored = { ...slot.stored, ...row.customFields };
  const size = contacts.columns.custom_fields.value.safeParse(stored);
  if (!size.success) {
    const message = `together with what the contact has: ${size.error.issues[0]?.message ?? 'not valid'}`;
    return { kind: 'failed', fault: { field: 'custom_fields', message } };
  }
  let differs = false;
  for (const [field, text] of Object.entries(row.values)) {
    if (!isTaken({ slot, row, field, text, isByNumber })) continue;
    slot.values[field] = text;
    differs = true;
  }
  for (const [name, text] of Object.entries(row.customFields)) {
    if (isSame(slot.stored[name], text)) continue;
    slot.stored[name] = text;
    differs = true;
  }
  if (isNew) return { kind: 'created' };
  // Of one that this very batch makes, it is certain.
  if (differs && slot.before) slot.changedBy.push(at);
  return { kind: differs ? 'updated' : 'unchanged' };
}

type Taking = {
  slot: Slot;
  row: CheckedContact;
  field: string;
  text: string;
  isByNumber: boolean;
};

function isTaken({ slot, row, field, text, isByNumber }: Taking): boolean {
  const now = slot.values[field] ?? null;
  if (now === text) return false;
  // Of the file that made the contact; nobody changes them later.
  if (field === 'jid' || field === 'source') return slot.id === undefined && now === null;
  if (field === 'do_not_contact_reason')
    return (row.values['do_not_contact'] ?? slot.values['do_not_contact']) === 'true';
  if (field !== 'phone' || now === null) return true;
  // The number leads here already, perhaps from a merge: taking it for the main one would only go back and forth.
  return !isByNumber && phoneMatchKey(now) !== phoneMatchKey(text);
}

/** Custom fields of other origins may be numbers or lists; a spreadsheet knows texts only. */
function isSame(stored: unknown, text: string): boolean {
  return (typeof stored === 'string' ? stored : JSON.stringify(stored)) === text;
}

type Found = { readonly slot: Slot; readonly isByNumber: boolean };

/** Which contact an address leads to. The first that claims one keeps it, as in contact_identities. */
class AddressBook {
  readonly #addresses = new Map<string, Slot>();
  readonly #emails = new Map<string, Slot[]>();
  readonly #names = new Map<string, Slot>();

  add(
    slot: Slot,
    { addresses, emails, names }: Pick<KnownContact, 'addresses' | 'emails' | 'names'>,
  ): void {
    for (const name of names) if (!this.#names.has(name)) this.#names.set(name, slot);
    for (const { kind, value } of addresses) {
      const key = `${kind} ${value}`;
      if (!this.#addresses.has(key)) this.#addresses.set(key, slot);
    }
    for (const email of emails) {
      const slots = this.#emails.get(email) ?? [];
      if (!slots.includes(slot)) slots.push(slot);
      this.#emails.set(email, slots);
    }
  }

  find(row: CheckedContact): Found | undefined {
    const jid = row.values['jid'];
    for (const { kind, value } of row.addresses) {
      const slot = this.#addresses.get(`${kind} ${value}`);
      if (slot) return { slot, isByNumber: value !== jid };
    }
    const name = mereName(row);
    if (name !== undefined) {
      const called = this.#names.get(name.key);
      return called && { slot: called, isByNumber: false };
    }
    const slots = this.#emails.get(row.values['email']?.toLowerCase() ?? '') ?? [];
    const slot =
      row.addresses.length === 0
        ? slots[0]
        : slots.find(({ values }) => (values['phone'] ?? null) === null);
    return slot && { slot, isByNumber: false };
  }
}
