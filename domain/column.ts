import { z } from 'zod';
import type { Permission } from './permission.ts';

/** How a column's Postgres text becomes JSON. The rules themselves are in row-json.ts. */
export type ColumnKind =
  | 'id'
  | 'int'
  | 'numeric'
  | 'boolean'
  | 'text'
  | 'timestamp'
  | 'date'
  | 'json'
  | 'text_array'
  | 'id_array';

/** `never`: the database or a command sets it; `create`: only when the row is made; `always`: PATCH too. */
export type ColumnWrite = 'never' | 'create' | 'always';

export type Column<K extends ColumnKind = ColumnKind, N extends boolean = boolean> = {
  readonly kind: K;
  /** The type as format_type() prints it: the drift check compares it with the database. */
  readonly pgType: string;
  readonly nullable: N;
  /** Schema of the JSON value when present; for writes too. */
  readonly value: z.ZodType;
  readonly write: ColumnWrite;
  /** A create without it is refused. */
  readonly required: boolean;
  /** False keeps it out of the publication, REST and the feed: secrets. */
  readonly published: boolean;
  /** Table this column points into, within the account. */
  readonly references: string | undefined;
  /** Seen only by roles with this permission; others get the row without it. */
  readonly permission: Permission | undefined;
};

type Options = {
  nullable?: boolean;
  write?: ColumnWrite;
  required?: boolean;
  published?: boolean;
  permission?: Permission;
  references?: string;
  pgType?: string;
};

/** Taken from the options and not inferred from where the column is used, which would make it `boolean`. */
type Nullable<O> = O extends { nullable: true } ? true : false;

function column<K extends ColumnKind, N extends boolean>(
  kind: K,
  pgType: string,
  value: z.ZodType,
  options: Options,
): Column<K, N> {
  return {
    kind,
    pgType: options.pgType ?? pgType,
    nullable: (options.nullable ?? false) as N,
    value,
    write: options.write ?? 'never',
    required: options.required ?? false,
    published: options.published ?? true,
    references: options.references,
    permission: options.permission,
  };
}

const idSchema = z.int().positive();

/** Of the years 1 to 9999 in UTC: what lies beyond has another form, which RFC 3339 and our cursors do not know. */
function isInFourDigits(text: string): boolean {
  const year = new Date(text).getUTCFullYear();
  return year >= 1 && year <= 9_999;
}

const timestampSchema = z.iso
  .datetime({ offset: true })
  .refine(isInFourDigits, 'is not in the years 1 to 9999');

/** Identity or reference: bigint in Postgres, a JSON number, refused beyond 2^53. */
export const id = <const O extends Options = Options>(
  options: O = {} as O,
): Column<'id', Nullable<O>> => column('id', 'bigint', idSchema, options);

export const int = <const O extends Options = Options>(
  options: O & { min?: number; max?: number } = {} as O,
): Column<'int', Nullable<O>> =>
  column(
    'int',
    'integer',
    z
      .int()
      .min(options.min ?? -2147483648)
      .max(options.max ?? 2147483647),
    options,
  );

/** `value numeric(14,2)` and the like: the text of Postgres verbatim, a JSON number. */
export const numeric = <const O extends Options = Options>(
  options: O & { min?: number; max?: number } = {} as O,
): Column<'numeric', Nullable<O>> =>
  column(
    'numeric',
    'numeric(14,2)',
    z
      .number()
      .min(options.min ?? -999_999_999_999)
      .max(options.max ?? 999_999_999_999),
    options,
  );

export const boolean = <const O extends Options = Options>(
  options: O = {} as O,
): Column<'boolean', Nullable<O>> => column('boolean', 'boolean', z.boolean(), options);

/** NUL cannot be stored by Postgres and lone surrogates cannot be sent: both are refused here. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

export const NOT_STORABLE = 'holds a character that cannot be stored';

/** `pattern` and `check` are refused with `says`. With a `min` the text is not blank either. */
export const text = <const O extends Options = Options>(
  options: O & {
    min?: number;
    max?: number;
    values?: readonly string[];
    pattern?: RegExp;
    check?: (text: string) => boolean;
    says?: string;
  } = {} as O,
): Column<'text', Nullable<O>> => {
  if (options.values)
    return column('text', 'text', z.enum(options.values as [string, ...string[]]), options);
  let schema = z
    .string()
    .max(options.max ?? 10_000)
    .refine(isStorable, NOT_STORABLE);
  if (options.min !== undefined)
    schema = schema.min(options.min, { abort: true }).regex(/\S/, 'is blank');
  if (options.pattern) schema = schema.regex(options.pattern, options.says);
  if (options.check) schema = schema.refine(options.check, options.says);
  return column('text', 'text', schema, options);
};

export const timestamp = <const O extends Options = Options>(
  options: O = {} as O,
): Column<'timestamp', Nullable<O>> =>
  column('timestamp', 'timestamp with time zone', timestampSchema, options);

/** Nobody nests this deep; thousands of levels overflow the stack, ours and that of whatever trigger unpacks the row. */
const JSON_DEPTH_MAX = 32;
const JSON_CHARACTERS_MAX = 16_384;

/** What keeps a value from being stored as it is; undefined: nothing. Goes no deeper than it allows. */
function faultOfJson(value: unknown, depth = 0): string | undefined {
  if (typeof value === 'string') return isStorable(value) ? undefined : NOT_STORABLE;
  // 1e400 is Infinity to JavaScript, and would be kept as null.
  if (typeof value === 'number')
    return Number.isFinite(value) ? undefined : 'holds a number that is too large';
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth === JSON_DEPTH_MAX) return `is nested deeper than ${JSON_DEPTH_MAX} levels`;
  for (const [name, member] of Object.entries(value)) {
    const fault = faultOfJson(name) ?? faultOfJson(member, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** An object of at most 16 KiB: custom fields and settings. */
export const json = <const O extends Options = Options>(
  options: O = {} as O,
): Column<'json', Nullable<O>> =>
  column(
    'json',
    'jsonb',
    z.record(z.string().max(200), z.unknown()).superRefine((value, context) => {
      const fault =
        faultOfJson(value) ??
        (JSON.stringify(value).length > JSON_CHARACTERS_MAX ? 'is larger than 16 KiB' : undefined);
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
    }),
    options,
  );

/** Ids, `bigint[]` in Postgres, JSON numbers. */
export const idArray = <const O extends Options = Options>(
  options: O & { max?: number } = {} as O,
): Column<'id_array', Nullable<O>> =>
  column('id_array', 'bigint[]', z.array(idSchema).max(options.max ?? 100), options);

export const textArray = <const O extends Options = Options>(
  options: O & { values?: readonly string[]; max?: number } = {} as O,
): Column<'text_array', Nullable<O>> =>
  column(
    'text_array',
    'text[]',
    z
      .array(options.values ? z.enum(options.values as [string, ...string[]]) : z.string().max(200))
      .max(options.max ?? 100),
    options,
  );
