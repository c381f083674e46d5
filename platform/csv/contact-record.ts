import { contacts } from '../../domain/entities/contacts.ts';
import { tags as tagEntity } from '../../domain/entities/tags.ts';
import { parseJid, USER_SERVER } from '../../domain/jid.ts';
import { normalizePhone } from '../../domain/phone.ts';
import type { MappedRecord } from './mapping.ts';

/** Columns of a contact that an import can set, each a text here as Postgres takes it. */
export const IMPORTED_COLUMNS: readonly string[] = Object.entries(contacts.columns)
  .filter(([, column]) => column.write !== 'never' && column.kind !== 'json')
  .map(([name]) => name);

/** An address by which a contact is found: kind and value as in contact_identities. */
export type Address = { readonly kind: 'jid' | 'phone'; readonly value: string };

/** What a record says about a contact, as it is stored; nothing in it is blank. */
export type CheckedContact = {
  /** By the columns of IMPORTED_COLUMNS: the phone in E.164, do_not_contact `true` where it is there. */
  readonly values: Readonly<Record<string, string>>;
  readonly customFields: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** The surest first. */
  readonly addresses: readonly Address[];
};

/** What is wrong with a record. `field` as in the mapping; absent when no single one is to blame. */
export type RecordFault = { readonly field?: string; readonly message: string };

export type CheckedRecord =
  | { readonly ok: true; readonly contact: CheckedContact }
  | { readonly ok: false; readonly faults: readonly RecordFault[] };

/** One of these makes a contact that somebody can find again. */
const NAMING = ['name', 'custom_name', 'last_name', 'phone', 'email', 'jid'];
const TAGS_MAX = 50;
const YES = new Set(['true', 't', '1', 'yes', 'y', 'si', 'sí', 'x', 'verdadero']);
const NO = new Set(['false', 'f', '0', 'no', 'n', 'falso']);
const EMAIL = /^[^\s@,;<>"]+@[^\s@,;<>"]+\.[^\s@,;<>".]+$/;

type Read = { readonly value: string | undefined } | { readonly fault: string };

/** Nothing that is mapped is there: a line of separators, which spreadsheets leave at the end. It is no row. */
export function isBlank(record: MappedRecord): boolean {
  return (
    record.tags.length === 0 &&
    Object.keys(record.contact).length === 0 &&
    Object.keys(record.customFields).length === 0
  );
}

/**
 * Checks a mapped record against the declaration of contacts. `country`: ISO 3166 in capitals, how phones without a
 * country code are read; of several numbers in the field the first counts. All faults are told, not the first alone.
 *
 * An import bars contacts and never lets them be written to again: a `no` in do_not_contact says nothing.
 */
export function checkRecord(record: MappedRecord, country: string): CheckedRecord {
  const values: Record<string, string> = {};
  const faults: RecordFault[] = [];
  const addresses: Address[] = [];
  for (const [field, text] of Object.entries(record.contact)) {
    const read = readField(field, text, country, addresses);
    if ('fault' in read) faults.push({ field, message: read.fault });
    else if (read.value !== undefined) values[field] = read.value;
  }
  faults.push(...faultsOfTags(record.tags), ...faultsOfCustomFields(record.customFields));
  if (faults.length === 0 && !NAMING.some((field) => values[field] !== undefined))
    faults.push({ message: 'there is neither a name, a phone, an e-mail nor a WhatsApp address' });
  if (faults.length > 0) return { ok: false, faults };
  const { customFields, tags } = record;
  return { ok: true, contact: { values, customFields, tags, addresses } };
}

function readField(field: string, text: string, country: string, addresses: Address[]): Read {
  switch (field) {
    case 'phone':
      return readPhone(text, country, addresses);
    case 'jid':
      return readJid(text, addresses);
    case 'email':
      return EMAIL.test(text) ? readText(field, text) : { fault: 'is no e-mail address' };
    case 'age':
      return readAge(text);
    case 'do_not_contact':
      return readFlag(text);
    default:
      return readText(field, text);
  }
}

function readPhone(text: string, country: string, addresses: Address[]): Read {
  const phone = normalizePhone(text, country);
  if (!phone.ok) return { fault: phone.says };
  addresses.push({ kind: 'phone', value: phone.matchKey });
  // Whom WhatsApp knows by this number, also where nobody has written the number down.
  for (const user of phone.lookups)
    addresses.push({ kind: 'jid', value: `${user}@${USER_SERVER}` });
  return { value: phone.e164 };
}

/** A LID is no address that a person would write into a list, and is never stored as one. */
function readJid(text: string, addresses: Address[]): Read {
  const jid = parseJid(text);
  if (jid?.kind !== 'user') return { fault: 'is not the WhatsApp address of a number' };
  addresses.unshift({ kind: 'jid', value: jid.address });
  return { value: jid.address };
}

function readAge(text: string): Read {
  const isAge = /^\d{1,3}$/.test(text) && Number(text) <= 150;
  return isAge ? { value: String(Number(text)) } : { fault: 'is no whole number from 0 to 150' };
}

function readFlag(text: string): Read {
  const word = text.toLowerCase();
  if (YES.has(word)) return { value: 'true' };
  return NO.has(word) ? { value: undefined } : { fault: 'is neither yes nor no' };
}

function readText(field: string, text: string): Read {
  const parsed = contacts.columns[field as keyof typeof contacts.columns].value.safeParse(text);
  if (parsed.success) return { value: text };
  const [issue] = parsed.error.issues;
  if (issue?.code === 'too_big') return { fault: `is longer than ${issue.maximum} characters` };
  return { fault: issue?.message ?? 'is not valid' };
}

function faultsOfTags(tags: readonly string[]): RecordFault[] {
  const field = 'tags';
  if (tags.length > TAGS_MAX) return [{ field, message: `are more than ${TAGS_MAX}` }];
  const bad = tags.find((tag) => !tagEntity.columns.name.value.safeParse(tag).success);
  return bad === undefined ? [] : [{ field, message: 'one is longer than 100 characters' }];
}

function faultsOfCustomFields(customFields: Readonly<Record<string, string>>): RecordFault[] {
  const parsed = contacts.columns.custom_fields.value.safeParse(customFields);
  if (parsed.success) return [];
  const says = parsed.error.issues[0]?.message ?? 'are not valid';
  return [{ field: 'custom_fields', message: says }];
}
