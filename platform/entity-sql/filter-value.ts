import { z } from 'zod';
import type { Column } from '../../domain/column.ts';
import type { Entity, ListFilter } from '../../domain/entity.ts';
import { parseInstant } from './instant.ts';

export type FilterValue =
  | {
      readonly kind: 'equals';
      readonly values: readonly (string | number | boolean)[];
      readonly orNull: boolean;
    }
  | { readonly kind: 'range'; readonly from: string | undefined; readonly to: string | undefined }
  | { readonly kind: 'flag'; readonly is: boolean }
  | { readonly kind: 'linked'; readonly ids: readonly number[]; readonly match: 'any' | 'all' };

/** Values a filter takes at once. */
const VALUES_MAX = 100;
const FILTER_CHARACTERS_MAX = 2_000;
/** Rows whose reference is not set: leads of nobody are `assigned_to=none`. */
const NONE = 'none';

type Shape = Record<string, z.ZodType<string | undefined>>;

/** Query parameters of the filters, as texts. */
export function describeFilters(
  entity: Entity,
  filters: Readonly<Record<string, ListFilter>>,
): Shape {
  const shape: Shape = {};
  const text = (says: string): z.ZodType<string | undefined> =>
    z.string().max(FILTER_CHARACTERS_MAX).optional().describe(says);
  for (const [name, filter] of Object.entries(filters)) {
    switch (filter.kind) {
      case 'equals': {
        const none = canBeNone(entity.columns[filter.column]) ? `, or ${NONE}` : '';
        shape[name] = text(`${filter.column} is one of these, separated by commas${none}`);
        break;
      }
      case 'range':
        shape[`${name}_from`] = text(`${filter.column} from this moment on, RFC 3339`);
        shape[`${name}_to`] = text(`${filter.column} before this moment, RFC 3339`);
        break;
      case 'present':
        shape[name] = z
          .enum(['true', 'false'])
          .optional()
          .describe(
            filter.unless === undefined
              ? 'Only these rows; without it none of them'
              : `Only these rows; without it none of them, or with ${filter.unless}=true both`,
          );
        break;
      case 'has':
        shape[name] = z
          .enum(['true', 'false'])
          .optional()
          .describe(`Whether ${filter.column} is there`);
        break;
      case 'linked':
        shape[name] = text(`Ids of ${filter.embed}, separated by commas`);
        shape[`${name}_match`] = z
          .enum(['any', 'all'])
          .optional()
          .describe('One of them (any) or all');
        break;
      default:
        filter satisfies never;
    }
  }
  return shape;
}

type Parsed = { value: FilterValue; written: [string, string][] };

type Source = {
  name: string;
  filter: ListFilter;
  raw: Readonly<Record<string, string | undefined>>;
  complain: (name: string, message: string) => void;
};

/** The filter's value and how it is written canonically; undefined when it is absent or wrong (then it was complained about). */
export function parseFilter(entity: Entity, source: Source): Parsed | undefined {
  const { name, filter, raw, complain } = source;
  const text = raw[name];
  switch (filter.kind) {
    case 'equals':
      return text === undefined
        ? undefined
        : parseEquals(entity.columns[filter.column], text, source);
    case 'range': {
      const from = readInstant(raw[`${name}_from`], () =>
        complain(`${name}_from`, 'is not a moment in RFC 3339'),
      );
      const to = readInstant(raw[`${name}_to`], () =>
        complain(`${name}_to`, 'is not a moment in RFC 3339'),
      );
      if (from === undefined && to === undefined) return undefined;
      const written: [string, string][] = [];
      if (from !== undefined) written.push([`${name}_from`, from]);
      if (to !== undefined) written.push([`${name}_to`, to]);
      return { value: { kind: 'range', from, to }, written };
    }
    case 'present': {
      const is = text === 'true';
      const isOpen = filter.unless !== undefined && raw[filter.unless] === 'true';
      if (isOpen && text === undefined) return undefined;
      // False goes without saying only where absent means it.
      return { value: { kind: 'flag', is }, written: is || isOpen ? [[name, String(is)]] : [] };
    }
    case 'has':
      if (text === undefined) return undefined;
      return { value: { kind: 'flag', is: text === 'true' }, written: [[name, text]] };
    case 'linked':
      return text === undefined ? undefined : parseLinked(text, source);
    default:
      return filter satisfies never;
  }
}

function parseEquals(column: Column | undefined, text: string, source: Source): Parsed | undefined {
  if (!column) throw new Error(`filter ${source.name} names no column`);
  const items = splitItems(text, source);
  if (!items) return undefined;
  const orNull = canBeNone(column) && items.includes(NONE);
  const values: (string | number | boolean)[] = [];
  for (const item of items) {
    if (orNull && item === NONE) continue;
    const value = parseItem(column, item);
    if (value === undefined) {
      source.complain(source.name, `"${item.slice(0, 50)}" is not a value it can have`);
      return undefined;
    }
    values.push(value);
  }
  return { value: { kind: 'equals', values, orNull }, written: [[source.name, items.join(',')]] };
}

function parseLinked(text: string, source: Source): Parsed | undefined {
  const items = splitItems(text, source);
  if (!items) return undefined;
  const ids = items.map((item) => (/^[1-9]\d{0,15}$/.test(item) ? Number(item) : Number.NaN));
  if (!ids.every(Number.isSafeInteger)) {
    source.complain(source.name, 'is a list of ids, separated by commas');
    return undefined;
  }
  const match = source.raw[`${source.name}_match`] === 'all' && ids.length > 1 ? 'all' : 'any';
  const written: [string, string][] = [[source.name, items.join(',')]];
  if (match === 'all') written.push([`${source.name}_match`, 'all']);
  return { value: { kind: 'linked', ids, match }, written };
}

/** Each once, in one order. */
function splitItems(text: string, source: Source): string[] | undefined {
  const items = [...new Set(text.split(',').map((item) => item.trim()))]
    .filter((item) => item !== '')
    .toSorted();
  if (items.length > 0 && items.length <= VALUES_MAX) return items;
  source.complain(source.name, `has 1 to ${VALUES_MAX} values, separated by commas`);
  return undefined;
}

function parseItem(column: Column, item: string): string | number | boolean | undefined {
  const value = fromText(column, item);
  return value !== undefined && column.value.safeParse(value).success ? value : undefined;
}

function fromText(column: Column, item: string): string | number | boolean | undefined {
  switch (column.kind) {
    case 'id':
      return /^[1-9]\d{0,15}$/.test(item) ? Number(item) : undefined;
    case 'int':
      return /^-?\d{1,10}$/.test(item) ? Number(item) : undefined;
    case 'boolean':
      return item === 'true' ? true : item === 'false' ? false : undefined;
    case 'text':
      return item;
    case 'numeric':
    case 'timestamp':
    case 'date':
    case 'json':
    case 'text_array':
    case 'id_array':
      return undefined;
    default:
      return column.kind satisfies never;
  }
}

function canBeNone(column: Column | undefined): boolean {
  return column?.kind === 'id' && column.nullable;
}

function readInstant(text: string | undefined, fail: () => void): string | undefined {
  if (text === undefined) return undefined;
  const instant = parseInstant(text);
  if (instant === undefined) fail();
  return instant;
}
