import { phoneMatchKey } from '../../domain/phone.ts';
import type { MappedContact } from '../kommo/map-contact.ts';
import { judgeLook, type KnownLook } from '../kommo/map-looks.ts';
import { readAddresses } from './addresses.ts';

/** A contact of ours that a page's ids or phones lead to. */
export type StoredContact = {
  readonly id: number;
  readonly kommoId: number | null;
  readonly jid: string | null;
  readonly phone: string | null;
  readonly name: string | null;
  readonly lastName: string | null;
  readonly email: string | null;
  readonly isGroup: boolean;
  /** Some Kommo contact leads to it: its own one, or one that was merged into it. */
  readonly isKommo: boolean;
  readonly isDeleted: boolean;
  /** Of the page's addresses those that lead to it: `kommo 406001`, `phone 51987654321`. */
  readonly addresses: readonly string[];
  readonly looks: readonly (KnownLook & { readonly given: readonly string[] })[];
};

/** Contacts that turn out to be one: the first takes in the others. */
export type Merge = { readonly id: number; readonly contactIds: number[] };

type Values = {
  readonly name: string | null;
  readonly last_name: string | null;
  readonly email: string | null;
  readonly phone: string | null;
  /** Kommo's, and the names of those that it had and has no more. */
  readonly custom_fields: Record<string, unknown>;
  readonly gone_fields: readonly string[];
};

/** What becomes of one look. */
export type ContactTarget = {
  readonly look: MappedContact;
  /** Undefined: a new one is made. */
  readonly contact: StoredContact | undefined;
  /** Undefined: the contact is another Kommo contact's, into which this one was merged here. */
  readonly values: Values | undefined;
  /** It becomes the contact of this look. */
  readonly isAdopted: boolean;
  /** Leads that name this Kommo contact do not find it yet. */
  readonly isUnnamed: boolean;
  /** Keys of phones that are to lead to it from now on, where nobody else has them, and of those that no longer do. */
  readonly newKeys: readonly string[];
  readonly goneKeys: readonly string[];
  /** Kommo's ids of tags that Kommo contacts have that were merged into it. */
  readonly otherTags: readonly number[];
  readonly given: readonly string[];
};

export type ContactPlan = {
  readonly merges: readonly Merge[];
  readonly targets: readonly ContactTarget[];
  /** Looks that say that they were deleted. */
  readonly tombstones: readonly MappedContact[];
};

/**
 * Decides what a page of looks does, in their order and without a database. A contact is found by Kommo's id, else by
 * its phones, the main one first, among those that are of no Kommo contact yet; else it is made. Further contacts that a
 * phone leads to and that are of no Kommo contact are the same person: they are merged, and then there is to be planned
 * again. Two Kommo contacts of one phone stay two, and the phone leads to the first.
 */
export function planContacts(
  looks: readonly MappedContact[],
  stored: readonly StoredContact[],
): ContactPlan {
  const book = new AddressBook(stored);
  const merges: Merge[] = [];
  const targets: ContactTarget[] = [];
  const tombstones: MappedContact[] = [];
  const written = new Set<number>();
  for (const look of looks) {
    const verdict = judgeLook(look, book.lookOf(look.id));
    if (verdict === 'tombstone') tombstones.push(look);
    if (verdict !== 'write') continue;
    const { contact, others } = book.claim(look);
    if (contact && others.length > 0)
      merges.push({ id: contact.id, contactIds: others.map(({ id }) => id) });
    const target = planTarget(look, contact, contact !== undefined && written.has(contact.id));
    if (contact && target.values) written.add(contact.id);
    targets.push(target);
  }
  return { merges, targets, tombstones };
}

/** Which contact each address leads to, as the page goes on. */
class AddressBook {
  readonly #byAddress = new Map<string, StoredContact>();
  readonly #byLook = new Map<number, StoredContact>();
  readonly #looks = new Map<number, StoredContact['looks'][number]>();
  readonly #taken = new Set<number>();

  constructor(contacts: readonly StoredContact[]) {
    for (const contact of contacts) {
      for (const address of contact.addresses) this.#byAddress.set(address, contact);
      for (const look of contact.looks) {
        if (this.#looks.get(look.id)?.keeper === 'us') continue;
        this.#looks.set(look.id, look);
        this.#byLook.set(look.id, contact);
      }
    }
  }

  lookOf(id: number): KnownLook | undefined {
    return this.#looks.get(id);
  }

  /** The contact of a look, which is nobody else's from now on, and those that are the same person. */
  claim({ id, phones }: MappedContact): {
    contact: StoredContact | undefined;
    others: StoredContact[];
  } {
    const known = this.#byAddress.get(`kommo ${id}`) ?? this.#byLook.get(id);
    const found = phones.flatMap((phone) => {
      const contact = this.#byAddress.get(`phone ${phoneMatchKey(phone)}`);
      return contact && contact !== known && this.#isFree(contact) ? [contact] : [];
    });
    const [contact, ...others] = new Set(known ? [known, ...found] : found);
    for (const one of [contact, ...others]) if (one) this.#taken.add(one.id);
    return { contact, others };
  }

  #isFree({ id, kommoId, isGroup, isKommo }: StoredContact): boolean {
    return kommoId === null && !isKommo && !isGroup && !this.#taken.has(id);
  }
}

/** `isWritten`: another look of this page already says what the contact is. */
function planTarget(
  look: MappedContact,
  contact: StoredContact | undefined,
  isWritten: boolean,
): ContactTarget {
  const before = new Set(contact?.looks.find(({ id }) => id === look.id)?.given);
  const others = new Set(contact && givenByOthers(look, contact));
  const phoneKeys = look.phones.map(phoneMatchKey);
  // A number that WhatsApp knows it by leads to it, whatever Kommo no longer says.
  const ownKey = contact?.jid ? keyOfJid(contact.jid) : undefined;
  const isGone = (key: string): boolean =>
    before.has(`phone:${key}`) &&
    !phoneKeys.includes(key) &&
    key !== ownKey &&
    !others.has(`phone:${key}`);
  const isOwn =
    !contact ||
    (!isWritten &&
      (contact.kommoId === null ||
        contact.kommoId === look.id ||
        // The Kommo contact that it was is gone; this one, merged into it, goes on.
        contact.isDeleted));
  const values = isOwn ? valuesOf(look, contact, before, isGone) : undefined;
  return {
    look,
    contact,
    values,
    isAdopted: isOwn && contact !== undefined && contact.kommoId !== look.id,
    isUnnamed: !isOwn && contact?.addresses.includes(`kommo ${look.id}`) === false,
    newKeys: phoneKeys.filter((key) => !isLed(key, contact, values)),
    goneKeys: [...before].flatMap((name) => {
      const key = afterPrefix('phone:', name);
      return key !== undefined && isGone(key) ? [key] : [];
    }),
    otherTags: [...others].flatMap((name) => afterPrefix('tag:', name) ?? []).map(Number),
    given: givenBy(look, phoneKeys),
  };
}

/** A trigger leads a contact's own phone to it, and no longer the one that it was before. */
function isLed(
  key: string,
  contact: StoredContact | undefined,
  values: Values | undefined,
): boolean {
  const keyOf = (phone: string | null | undefined): string | undefined =>
    phone ? phoneMatchKey(phone) : undefined;
  const before = keyOf(contact?.phone);
  const after = values ? keyOf(values.phone) : before;
  if (before !== after && (key === before || key === after)) return key === after;
  return contact?.addresses.includes(`phone ${key}`) ?? false;
}

/** What Kommo has it says; what it had and has no more is cleared; what it never had is not Kommo's to clear. */
function valuesOf(
  look: MappedContact,
  contact: StoredContact | undefined,
  before: ReadonlySet<string>,
  isGone: (key: string) => boolean,
): Values {
  const keep = (name: 'name' | 'lastName' | 'email'): string | null =>
    look[name] ?? (before.has(name) ? null : (contact?.[name] ?? null));
  const stored = contact?.phone ?? null;
  return {
    name: keep('name'),
    last_name: keep('lastName'),
    email: keep('email'),
    phone: look.phones[0] ?? (stored !== null && isGone(phoneMatchKey(stored)) ? null : stored),
    custom_fields: Object.fromEntries(look.fields),
    gone_fields: [...before].flatMap((name) => afterPrefix('field:', name) ?? []),
  };
}

function givenBy(look: MappedContact, phoneKeys: readonly string[]): string[] {
  return [
    ...(['name', 'lastName', 'email'] as const).filter((name) => look[name] !== null),
    ...phoneKeys.map((key) => `phone:${key}`),
    ...[...look.fields.keys()].map((name) => `field:${name}`),
    ...look.tags.map(({ id }) => `tag:${id}`),
  ];
}

/** What other Kommo contacts give that were merged into the same contact of ours, and are there. */
function givenByOthers({ id }: MappedContact, { looks }: StoredContact): string[] {
  return looks
    .filter((other) => other.id !== id && other.keeper === 'us' && other.deletedAt === null)
    .flatMap(({ given }) => given);
}

function afterPrefix(prefix: string, text: string): string | undefined {
  return text.startsWith(prefix) ? text.slice(prefix.length) : undefined;
}

function keyOfJid(jid: string): string | undefined {
  const { phone } = readAddresses({ jid });
  return phone === undefined ? undefined : phoneMatchKey(phone);
}
