import fc from 'fast-check';
import { formOf } from './forms.ts';
import { typesOf, variantsOf, type Operation, type Schema } from './documented.ts';

/** Requests that nobody sends by mistake: right in their shape here and there, so that they get far. */
export type Hostile = {
  readonly id: string;
  readonly query: string;
  /** JSON text, mostly, or a form. */
  readonly body: string | Buffer | undefined;
  readonly headers: Readonly<Record<string, string>>;
};

/** Stands in a JSON text for a number that JavaScript cannot write. */
const TOO_LARGE = '@too large';

const texts = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud800',
    'x\udc00',
    '\uffff',
    'x'.repeat(70_000),
    '👩‍👩‍👧‍👦',
    '\u202eevil\u202c',
    "'; drop table leads; --",
    '%',
    '\\',
    '{{name}}',
    '{{constructor}}',
    '__proto__',
    'constructor',
    '../../etc/passwd',
    'infinity',
    'NaN',
    'now',
    '0001-01-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '9999-12-31T23:59:60Z',
    '294277-01-01T00:00:00Z',
    '51987654321@s.whatsapp.net',
    '+51 987 654 321',
    '=1+1',
    'https://[::1]:99999/',
    'America/../Lima',
    '[1,2]',
    'eyJhIjoxfQ',
  ),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
);

const numbers = fc.oneof(
  fc.constantFrom(0, -0, -1, 1, 2, 1.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e21, 1e308, 5e-324),
  fc.constant(TOO_LARGE),
  fc.integer(),
);

const nested = (depth: number): unknown =>
  Array.from({ length: depth }).reduce<unknown>((inner) => ({ a: [inner] }), null);

const values: fc.Arbitrary<unknown> = fc.oneof(
  texts,
  numbers,
  fc.constantFrom<unknown>(null, true, false, [], {}, [null], nested(5), nested(500)),
  fc.constantFrom<unknown>(
    { constructor: { prototype: { a: 1 } } },
    JSON.parse('{"__proto__": {"isSuperAdmin": true}}'),
    { toString: 1, hasOwnProperty: null },
    { length: 1e9 },
    Array.from({ length: 2_000 }, (_, index) => index + 1),
    [1, 1, 1],
    ['a', 'a'],
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

/** A value as the schema wants it, but for what may be wrong with it. */
function shapedAfter(schema: Schema, example: unknown): fc.Arbitrary<unknown> {
  const types = typesOf(schema);
  const fitting: fc.Arbitrary<unknown>[] = [fc.constant(example)];
  if (types.has('string')) fitting.push(texts);
  if (types.has('number')) fitting.push(numbers);
  if (types.has('boolean')) fitting.push(fc.boolean());
  for (const variant of variantsOf(schema)) {
    if (variant.properties) fitting.push(objectAfter(variant, example));
    const [first] = Array.isArray(example) ? (example as unknown[]) : [];
    if (variant.items) fitting.push(fc.array(shapedAfter(variant.items, first), { maxLength: 4 }));
  }
  return fc.oneof({ weight: 4, arbitrary: fc.oneof(...fitting) }, { weight: 1, arbitrary: values });
}

function objectAfter({ properties = {} }: Schema, given: unknown): fc.Arbitrary<unknown> {
  const example = (typeof given === 'object' ? given : undefined) ?? {};
  const known = Object.entries(example);
  const changed = fc.record(
    Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => [
        name,
        shapedAfter(schema, (example as Record<string, unknown>)[name]),
      ]),
    ),
    { requiredKeys: [] },
  );
  // Mostly right: of the members that would be changed only one or two are.
  return fc.tuple(changed, fewOf(Object.keys(properties))).map(([all, few]) => ({
    ...Object.fromEntries(known),
    ...Object.fromEntries(few.map((name) => [name, all[name]])),
  }));
}

const fewOf = (names: string[]): fc.Arbitrary<string[]> =>
  fc.subarray(names, { maxLength: Math.min(2, names.length) });

const headerTexts = fc.constantFrom(
  '',
  '*',
  'x',
  '"x"',
  'W/"x"',
  '"now"',
  '"infinity"',
  '"2026-13-45T00:00:00Z"',
  '"2026-11-24T15:04:05.123456Z"',
  '"2026-11-24T15:04:05.123456Z;abc"',
  '0/0',
  '16/B374D848',
  'FFFFFFFF/FFFFFFFF',
  '1FFFFFFFF/0',
  'bytes=0-',
  'bytes=-1',
  'bytes=99999999999999999999-',
  'bytes=5-1,0-0',
  'é',
  'null',
  '__proto__',
  'a'.repeat(256),
  '٣',
);

const headers = fc.record(
  Object.fromEntries(
    [
      'if-match',
      'if-none-match',
      'if-range',
      'idempotency-key',
      'clarin-min-commit',
      'x-operation-id',
      'x-request-id',
      'range',
      'accept',
      'origin',
      'cookie',
    ].map((name) => [name, headerTexts]),
  ),
  { requiredKeys: [] },
);

/** Few at a time: each is refused on its own. */
const fewHeaders = fc.tuple(headers, fc.constantFrom(0, 0, 0, 1, 2)).map(([all, count]) =>
  Object.fromEntries(
    Object.entries(all)
      .slice(0, count)
      .map(([name, value]): [string, string] => [name, value ?? '']),
  ),
);

function queryOf({ query, required }: Operation, ids: readonly string[]): fc.Arbitrary<string> {
  const values = fc.oneof(
    fc.constantFrom(...ids),
    texts.filter((text) => text.length < 1_000),
    fc.constantFrom(
      '1',
      '1,2',
      'true',
      'false',
      'any',
      'all',
      'open',
      '2026-11-24',
      'created_at',
      '%zz',
    ),
  );
  const names = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...(query.length > 0 ? query : ['x'])) },
    { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', 'page[]', 'limit[a]', '') },
  );
  const pairs = fc.array(fc.tuple(names, values), { maxLength: query.length > 0 ? 3 : 1 });
  const needed = fc.tuple(
    ...required.map((name) => fc.tuple(fc.constant(name), fc.constantFrom(...ids, '0', 'x'))),
  );
  return fc.tuple(needed, pairs).map((lists) =>
    lists
      .flat()
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .join('&'),
  );
}

/** Percent-encoded, with the bytes of what is no Unicode and with what is no encoding as they are. */
function encode(text: string): string {
  if (text === '%zz') return text;
  return text.isWellFormed() ? encodeURIComponent(text) : '%ED%A0%80';
}

function write(value: unknown): string {
  return (JSON.stringify(value) ?? 'null').replaceAll(`"${TOO_LARGE}"`, '1e999');
}

function bodyAfter(
  { bodies }: Operation,
  examples: readonly unknown[],
): fc.Arbitrary<string | undefined> {
  const changed = bodies.map(({ schema }, index) => objectAfter(schema, examples[index]));
  if (changed.length === 0) return fc.constant(undefined);
  return fc.oneof(
    { weight: 8, arbitrary: fc.oneof(...changed).map(write) },
    { weight: 1, arbitrary: values.map(write) },
    { weight: 1, arbitrary: fc.constantFrom('', '{', '{"__proto__":{}}', '\ufeff{}') },
  );
}

/** Fields of any text in front of a file of any bytes, or of some rows. */
function formAfter({ parts }: Operation): fc.Arbitrary<Buffer> {
  const names = parts.filter((name) => name !== 'file');
  const fields = fc
    .tuple(fc.dictionary(fc.constantFrom(...names, 'x'), texts, { maxKeys: 2 }), fc.nat(2))
    .map(([some, chance]): Record<string, string> => (chance === 0 ? some : {}));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
    texts.map((text) => Buffer.from(text)),
    fc
      .array(fc.array(texts, { maxLength: 3 }), { maxLength: 4 })
      .map((rows) => Buffer.from(['name,phone', ...rows.map((row) => row.join(','))].join('\n'))),
  );
  return fc.tuple(fields, bytes).map(([some, file]) => formOf('file', file, some));
}

/** `ids`: those of rows that there are, which most requests are about. */
export function hostileRequests(
  operation: Operation,
  { ids, examples }: { ids: readonly string[]; examples: readonly unknown[] },
): fc.Arbitrary<Hostile> {
  const asks = operation.method === 'GET' || operation.required.length > 0;
  return fc.record({
    id: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...ids) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('9007199254740991', '0', '1e3', '%00', 'null', '%F0'),
      },
    ),
    query: fc.oneof(
      { weight: asks ? 1 : 9, arbitrary: fc.constant('') },
      { weight: asks ? 4 : 1, arbitrary: queryOf(operation, ids) },
    ),
    body: operation.isForm ? formAfter(operation) : bodyAfter(operation, examples),
    headers: fewHeaders,
  });
}
