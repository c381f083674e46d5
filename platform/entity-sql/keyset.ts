import type { ColumnKind } from '../../domain/column.ts';
import { formatTimestamp } from '../../domain/row-json.ts';
import { parseInstant } from './instant.ts';

/** Where a keyset page begins: behind the row with this value of the sort column (a text Postgres takes) and this id. */
export type Keyset = { readonly value: string; readonly id: number };

/** Of which list, usually its table's name, and in what order. */
export type SortOrder = {
  readonly of: string;
  readonly sort: string;
  readonly order: 'asc' | 'desc';
};

/** Opaque text for `next_cursor`. It names its list and sort, so that it cannot continue another one. */
export function formatKeyset(by: SortOrder, keyset: Keyset): string {
  const parts = [by.of, by.sort, by.order, keyset.value, keyset.id];
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Undefined when the text is no cursor of this list, sort and order, or its value is none of this kind. */
export function parseKeyset(by: SortOrder, kind: ColumnKind, text: string): Keyset | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length !== 5) return undefined;
  const [of, sort, order, value, id] = parts as unknown[];
  if (of !== by.of || sort !== by.sort || order !== by.order) return undefined;
  if (typeof value !== 'string' || typeof id !== 'number' || !Number.isSafeInteger(id))
    return undefined;
  return isValueOf(kind, value) ? { value, id } : undefined;
}

const NUMBER = /^-?\d{1,30}(?:\.\d{1,30})?(?:e[+-]?\d{1,3})?$/;

/** Whatever passes here Postgres can read: a forged cursor must not become an error of the database. */
function isValueOf(kind: ColumnKind, value: string): boolean {
  switch (kind) {
    case 'id':
    case 'int':
      return /^-?\d{1,9}$/.test(value) || (kind === 'id' && /^\d{1,16}$/.test(value));
    case 'numeric':
      return NUMBER.test(value) && Number.isFinite(Number(value));
    case 'timestamp':
      return (
        value === 'infinity' ||
        value === '-infinity' ||
        parseInstant(formatTimestamp(value)) !== undefined
      );
    case 'text':
      return !value.includes('\0') && value.isWellFormed();
    case 'boolean':
    case 'date':
    case 'json':
    case 'text_array':
    case 'id_array':
      return false;
    default:
      return kind satisfies never;
  }
}
