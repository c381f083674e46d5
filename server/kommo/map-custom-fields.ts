import type { KommoCustomField } from './documents.ts';
import { mapDay, mapText, mapTime } from './map-values.ts';

/** By their names, in the order of Kommo's ids. */
export type MappedFields = ReadonlyMap<string, unknown>;

const NAME_MAX = 200;
const TEXT_MAX = 8_000;
const DEPTH_MAX = 8;
/** Of the 65,536 that clarin.is_small_object takes, so that people have room beside it. */
const FIELDS_BYTES_MAX = 60_000;
/** `: `, `, `. */
const SEPARATORS_BYTES = 4;
/** A number of JSON is at most as long as the smallest of them. */
const NUMBER_BYTES_MAX = 350;

/**
 * Kommo's custom fields as values of custom_fields: dates as days, times as RFC 3339, what may have several values as a
 * list, types that we do not know as they come. Of two fields of one name the later one's name has its id behind it. Empty
 * ones are left out. Texts are cut at 8,000 characters; a field that no longer fits beside those before it is left out.
 */
export function mapCustomFields(
  fields: readonly KommoCustomField[] | null | undefined,
): MappedFields {
  const mapped = new Map<string, unknown>();
  let bytes = 0;
  for (const field of (fields ?? []).toSorted((one, other) => one.field_id - other.field_id)) {
    const value = mapField(field);
    if (value === undefined) continue;
    const name = nameOf(field, mapped);
    const size = bytesOf(name) + bytesOf(value) + SEPARATORS_BYTES;
    if (bytes + size > FIELDS_BYTES_MAX) continue;
    bytes += size;
    mapped.set(name, value);
  }
  return mapped;
}

function nameOf({ field_id, field_name }: KommoCustomField, taken: MappedFields): string {
  const name = mapText(field_name, NAME_MAX) ?? `Field ${field_id}`;
  return taken.has(name) ? `${name} (${field_id})` : name;
}

function mapField({ field_type, values }: KommoCustomField): unknown {
  const mapped = values.flatMap(({ value }) => {
    const one = mapFieldValue(field_type, value);
    return one === undefined || one === null ? [] : [one];
  });
  if (mapped.length === 0) return undefined;
  const isList = field_type === 'multiselect' || field_type === 'multitext' || mapped.length > 1;
  return isList ? mapped : mapped[0];
}

function mapFieldValue(type: string, value: unknown): unknown {
  if (Number.isSafeInteger(value)) {
    if (type === 'date' || type === 'birthday') return mapDay(Number(value));
    if (type === 'date_time') return mapTime(Number(value));
  }
  return typeof value === 'string' ? mapText(value, TEXT_MAX) : mapJson(value, 0);
}

/** JSON of any shape, its keys in one order. Undefined: there is nothing to store, or it lies too deep. */
function mapJson(value: unknown, depth: number): unknown {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value === 'string') return mapText(value, TEXT_MAX) ?? '';
  if (typeof value !== 'object' || depth === DEPTH_MAX) return undefined;
  if (Array.isArray(value)) return value.map((part) => mapJson(part, depth + 1) ?? null);
  const entries = Object.entries(value).flatMap(([name, part]) => {
    const mapped = mapJson(part, depth + 1);
    return mapped === undefined ? [] : [[mapText(name, NAME_MAX) ?? '', mapped] as const];
  });
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** At least as many bytes as Postgres prints of it. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(JSON.stringify(value));
  if (typeof value === 'number') {
    const text = String(value);
    return text.includes('e') ? NUMBER_BYTES_MAX : text.length;
  }
  if (typeof value !== 'object' || value === null) return 'false'.length;
  return Object.entries(value).reduce(
    (sum, [name, part]) =>
      sum + (Array.isArray(value) ? 0 : bytesOf(name)) + bytesOf(part) + SEPARATORS_BYTES,
    SEPARATORS_BYTES,
  );
}
