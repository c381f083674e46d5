import { z } from 'zod';
import { isStorable } from '../../domain/column.ts';
import { contacts } from '../../domain/entities/contacts.ts';
import { unguardFormula } from './formula-guard.ts';
import { COLUMNS_MAX } from './read-csv.ts';
import { fieldNamed } from './synonyms.ts';

const CUSTOM = 'custom_fields.';
const CUSTOM_NAME_CHARACTERS_MAX = 200;

/** Columns of a contact that a request may set, one text each. */
const CONTACT_FIELDS: ReadonlySet<string> = new Set(
  Object.entries(contacts.columns)
    .filter(([, column]) => column.write !== 'never' && column.kind !== 'json')
    .map(([name]) => name),
);

const fieldSchema = z
  .string()
  .refine(isField, 'is not a column of contacts that can be set, tags or custom_fields.<name>');

/** Which column of the file, from 0, goes where. A field has one column, but tags may come from several. */
export const mappingSchema = z
  .strictObject({
    columns: z
      .array(
        z.strictObject({
          index: z
            .int()
            .min(0)
            .max(COLUMNS_MAX - 1),
          field: fieldSchema,
        }),
      )
      .min(1)
      .max(COLUMNS_MAX),
  })
  .superRefine(({ columns }, context) => {
    const indexes = new Set<number>();
    const fields = new Set<string>();
    columns.forEach(({ index, field }, at) => {
      const refuse = (member: string, message: string): void =>
        context.addIssue({ code: 'custom', path: ['columns', at, member], message });
      if (indexes.has(index)) refuse('index', 'is mapped twice');
      if (fields.has(field) && field !== 'tags') refuse('field', 'is mapped twice');
      indexes.add(index);
      fields.add(field);
    });
  });

export type Mapping = z.infer<typeof mappingSchema>;

/**
 * A proposal for the person who imports. A header we know goes to its field, the first of several alike; one we do not
 * know becomes a custom field of its name. Columns without a header, and those of our own export that cannot be set, are
 * left out, so `columns` may be empty and is not a mapping yet.
 */
export function guessMapping(header: readonly string[]): Mapping {
  const columns: Mapping['columns'] = [];
  const taken = new Set<string>();
  header.slice(0, COLUMNS_MAX).forEach((cell, index) => {
    const title = unguardFormula(cell).trim();
    const field = [fieldOf(title), `${CUSTOM}${title}`].find(
      (candidate) =>
        candidate !== undefined &&
        isField(candidate) &&
        (candidate === 'tags' || !taken.has(candidate)),
    );
    if (field === undefined || isOurs(title)) return;
    taken.add(field);
    columns.push({ index, field });
  });
  return { columns };
}

/** What one record says about a contact, as text: not checked, and without what is blank. */
export type MappedRecord = {
  readonly contact: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly customFields: Readonly<Record<string, string>>;
};

/** A record that is too short has blanks where its fields are missing; fields that are not mapped are left out. */
export function mapRecord(mapping: Mapping, fields: readonly string[]): MappedRecord {
  const contact: [string, string][] = [];
  const customFields: [string, string][] = [];
  const tags = new Map<string, string>();
  for (const { index, field } of mapping.columns) {
    const text = unguardFormula(fields[index] ?? '').trim();
    if (text === '') continue;
    if (field === 'tags') {
      for (const tag of splitTags(text))
        tags.set(tag.toLowerCase(), tags.get(tag.toLowerCase()) ?? tag);
    } else if (field.startsWith(CUSTOM)) customFields.push([field.slice(CUSTOM.length), text]);
    else contact.push([field, text]);
  }
  return {
    contact: Object.fromEntries(contact),
    tags: [...tags.values()],
    customFields: Object.fromEntries(customFields),
  };
}

function splitTags(text: string): string[] {
  return text
    .split(/[,;|\n]/)
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

function isField(field: string): boolean {
  if (field === 'tags' || CONTACT_FIELDS.has(field)) return true;
  const name = field.slice(CUSTOM.length);
  return (
    field.startsWith(CUSTOM) &&
    name.length <= CUSTOM_NAME_CHARACTERS_MAX &&
    name.trim() === name &&
    name !== '' &&
    isStorable(name)
  );
}

/** The name as it is where it is one of ours, as in our own export; the one it is a synonym of; otherwise undefined. */
function fieldOf(title: string): string | undefined {
  return isField(title) ? title : fieldNamed(title);
}

function isOurs(title: string): boolean {
  return Object.hasOwn(contacts.columns, title) && !CONTACT_FIELDS.has(title);
}
