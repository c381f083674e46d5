import { normalizePhone, phoneMatchKey } from '../../domain/phone.ts';
import type { KommoContact, KommoCustomField } from './documents.ts';
import { mapCustomFields, type MappedFields } from './map-custom-fields.ts';
import { mapTags, type MappedTag } from './map-tags.ts';
import { hashOf, mapText, mapTime } from './map-values.ts';

/** A contact of Kommo's in our terms, as it looked when it was read. */
export type MappedContact = {
  readonly id: number;
  /** Unix seconds by Kommo's clock. */
  readonly updatedAt: number;
  readonly isDeleted: boolean;
  /** Of everything below but createdAt. */
  readonly hash: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly name: string | null;
  readonly lastName: string | null;
  readonly email: string | null;
  /** E.164 digits, the main one first; no two of one key. */
  readonly phones: readonly string[];
  readonly fields: MappedFields;
  readonly tags: readonly MappedTag[];
};

const NAME_MAX = 200;
const EMAIL_MAX = 254;
/** Each is locked while its page is written: see lockIdentities. */
const PHONES_MAX = 10;

/**
 * `defaultCountry` is our account's. The first phone that is one is the contact's, the others lead to it too; the first
 * e-mail is the contact's. Phones that are none and further e-mails stay to be read, as custom fields.
 */
export function mapContact(contact: KommoContact, defaultCountry: string): MappedContact {
  const { phones, email, rest } = takeAddresses(contact.custom_fields_values, defaultCountry);
  const mapped = {
    name: nameOf(contact),
    lastName: mapText(contact.last_name, NAME_MAX) ?? null,
    email,
    phones,
    fields: mapCustomFields(rest),
    tags: mapTags(contact._embedded?.tags),
  };
  return {
    ...mapped,
    id: contact.id,
    updatedAt: contact.updated_at,
    isDeleted: contact.is_deleted ?? false,
    createdAt: mapTime(contact.created_at),
    hash: hashOf([
      mapped.name,
      mapped.lastName,
      mapped.email,
      mapped.phones,
      [...mapped.fields],
      mapped.tags.map(({ id }) => id),
    ]),
  };
}

function nameOf({ name, first_name, last_name }: KommoContact): string | null {
  const parts = [first_name, last_name].filter((part) => mapText(part, NAME_MAX) !== undefined);
  return mapText(name, NAME_MAX) ?? mapText(parts.join(' '), NAME_MAX) ?? null;
}

type Taken = {
  readonly phones: readonly string[];
  readonly email: string | null;
  /** The fields without what was taken. */
  readonly rest: readonly KommoCustomField[];
};

function takeAddresses(
  fields: readonly KommoCustomField[] | null | undefined,
  defaultCountry: string,
): Taken {
  const phones = new Map<string, string>();
  let email: string | null = null;
  const takePhone = (text: string): boolean => {
    const phone = normalizePhone(text, defaultCountry);
    if (!phone.ok) return false;
    for (const number of [phone.e164, ...phone.alternates]) {
      const key = phoneMatchKey(number);
      if (!phones.has(key) && phones.size < PHONES_MAX) phones.set(key, number);
    }
    return true;
  };
  const takeEmail = (text: string): boolean => {
    if (email !== null || mapText(text, EMAIL_MAX) !== text) return false;
    email = text;
    return true;
  };
  const rest = (fields ?? []).map((field) => {
    const take = { PHONE: takePhone, EMAIL: takeEmail }[field.field_code ?? ''];
    if (!take) return field;
    return { ...field, values: field.values.filter(({ value }) => !take(textOf(value))) };
  });
  return { phones: [...phones.values()], email, rest };
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
