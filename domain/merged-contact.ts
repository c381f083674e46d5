import type { contacts } from './entities/contacts.ts';
import type { RowOf } from './entity.ts';

type Contact = RowOf<typeof contacts>;
type Fields = Contact['custom_fields'];

/** Columns whose gaps are filled by a merge, besides names, do-not-contact and custom fields. */
const FILLED = [
  'jid',
  'lid',
  'phone',
  'last_name',
  'short_name',
  'email',
  'company',
  'age',
  'notes',
  'avatar_url',
  'source',
  'kommo_id',
] as const satisfies readonly (keyof Contact)[];

/** What a contact is called: the first that is not blank, as clarin.derive_contact() has it. */
const NAMES = ['custom_name', 'name', 'push_name'] as const;
const CALLED_BY = [...NAMES, 'phone', 'jid'] as const;

const BARRED = [
  'do_not_contact',
  'do_not_contact_at',
  'do_not_contact_by',
  'do_not_contact_reason',
] as const;

/**
 * The contact that is left when `others` are merged into `winner`: its own values, its gaps filled from the others
 * in their order, its custom fields too. Whoever is not to be contacted under one address is not under any. A name is
 * not filled where it would change what the winner is called. Id, account and times stay the winner's.
 */
export function mergeContactRows(winner: Contact, others: readonly Contact[]): Contact {
  const all = [winner, ...others];
  const merged = {
    ...winner,
    custom_fields: Object.assign({}, ...all.toReversed().map((one) => one.custom_fields)) as Fields,
  };
  for (const name of [...FILLED, ...namesToFill(winner)]) {
    const source = all.find((contact) => !isGap(contact[name]));
    if (source) take(merged, source, name);
  }
  const barred = all.find((contact) => contact.do_not_contact);
  if (barred) for (const name of BARRED) take(merged, barred, name);
  return { ...merged, display_name: displayNameOf(merged) };
}

/** Those that come behind what the winner is called by; all of them when that is no name. */
function namesToFill(winner: Contact): (typeof NAMES)[number][] {
  const calledBy = NAMES.findIndex((name) => !isGap(winner[name]));
  return NAMES.filter((_name, place) => calledBy < 0 || place > calledBy);
}

/** Columns of the merged contact that may differ from the winner's, as values to write; null: none. */
export function mergedValues(merged: Contact): Record<string, unknown> {
  const names = [...FILLED, ...NAMES, ...BARRED, 'custom_fields'] as const;
  return Object.fromEntries(names.map((name) => [name, merged[name] ?? null]));
}

function displayNameOf(contact: Contact): string {
  const called = CALLED_BY.map((name) => trim(contact[name] ?? '')).find((text) => text !== '');
  // By characters, as left() counts.
  return Array.from(called ?? '')
    .slice(0, 200)
    .join('');
}

function isGap(value: unknown): boolean {
  return value === undefined || (typeof value === 'string' && trim(value) === '');
}

/** Spaces only, as btrim() does. */
function trim(text: string): string {
  return text.replaceAll(/^ +| +$/g, '');
}

type Writable = { -readonly [K in keyof Contact]: Contact[K] };

function take<K extends keyof Contact>(into: Writable, from: Contact, name: K): void {
  if (from[name] === undefined) delete into[name];
  else into[name] = from[name];
}
