/**
 * Examples for every body and every good answer of the document, made from their schemas, so that they cannot be out of
 * date: well-known names get what people would write, everything else what its schema allows. A test sends
 * the examples of bodies to the server and wants none of them refused as malformed.
 */
type Schema = {
  readonly [key: string]: unknown;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly $ref?: string;
};

const MOMENT = '2026-11-24T15:04:05.123456Z';

/** By the name of the property, wherever it stands. Only where the schema's type fits. */
const KNOWN: Readonly<Record<string, unknown>> = {
  username: 'ana',
  password: 'correct horse battery',
  current_password: 'correct horse battery',
  new_password: 'staple correct horse',
  display_name: 'Ana Quispe',
  name: 'Ana Quispe',
  push_name: 'Ana',
  last_name: 'Quispe',
  title: '20 bags of coffee',
  shortcut: 'hi',
  email: 'ana@example.com',
  phone: '51987654321',
  company: 'Andes Café',
  body: 'Good morning',
  text: 'Good morning',
  template: 'Hello {{name}}',
  notes: 'Call back on Monday',
  reason: 'Chose somebody else',
  close_reason: 'Chose somebody else',
  color: '#22c55e',
  currency: 'PEN',
  slug: 'andes-cafe',
  subdomain: 'andescafe',
  default_country: 'PE',
  timezone: 'America/Lima',
  jid: '51987654321@s.whatsapp.net',
  sender_jid: '51987654321@s.whatsapp.net',
  emoji: '👍',
  avatar_url: 'https://example.com/ana.jpg',
  mimetype: 'image/jpeg',
  filename: 'price-list.pdf',
  active_from: '09:00',
  active_to: '18:30',
  token: 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl',
  refresh_token: 'dGhpcyBpcyBhbiBleGFtcGxl',
  access_token: 'eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl',
  error: 'there is no such row',
  code: 'not_found',
  value: 1250.5,
  age: 34,
};

const DEPTH_MAX = 8;

/** The part of an OpenAPI 3.1 document this looks at. */
type Document = object & { readonly paths?: object };

/** Writes `example` beside every schema of a body and of a good answer; gives the same document. */
export function addExamples<D extends Document>(document: D): D {
  for (const path of Object.values(document.paths ?? {})) {
    for (const operation of Object.values(path as Record<string, Operation>)) {
      const { requestBody, responses } = operation;
      addTo(requestBody, document);
      for (const [status, response] of Object.entries(responses ?? {}))
        if (status.startsWith('2')) addTo(response, document);
    }
  }
  return document;
}

function addTo(holder: unknown, document: Document): void {
  const content = (holder as { content?: Record<string, { schema?: Schema; example?: unknown }> })
    ?.content;
  for (const media of Object.values(content ?? {})) {
    if (!media.schema || media.example !== undefined) continue;
    const example = exampleOf(media.schema, { document, name: '', depth: 0 });
    if (example !== undefined) media.example = example;
  }
}

type Operation = { readonly requestBody?: unknown; readonly responses?: Record<string, unknown> };

type Place = {
  readonly document: Document;
  readonly name: string;
  readonly depth: number;
};

function exampleOf(given: Schema, place: Place): unknown {
  const schema = resolve(given, place.document);
  if (place.depth > DEPTH_MAX) return undefined;
  if (schema['example'] !== undefined) return schema['example'];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const variants = schema.oneOf ?? schema.anyOf;
  if (variants) {
    const [first] = variants.filter((variant) => variant.type !== 'null');
    return first && exampleOf(first, place);
  }
  if (schema.allOf) {
    return Object.assign({}, ...schema.allOf.map((part) => exampleOf(part, place))) as unknown;
  }
  const [type = 'object'] = [schema.type ?? 'object'].flat().filter((one) => one !== 'null');
  switch (type) {
    case 'object':
      return exampleOfObject(schema, place);
    case 'array': {
      const item = schema.items && exampleOf(schema.items, { ...place, depth: place.depth + 1 });
      const length = Math.max(1, Number(schema['minItems'] ?? 0));
      return item === undefined ? [] : Array.from({ length }, () => item);
    }
    case 'string':
      return exampleOfText(schema, place.name);
    case 'integer':
    case 'number':
      return exampleOfNumber(schema, place.name);
    case 'boolean':
      return false;
    default:
      return undefined;
  }
}

function resolve(schema: Schema, document: Document): Schema {
  if (schema.$ref === undefined) return schema;
  const parts = schema.$ref.split('/').slice(1);
  const step = (node: unknown, part: string): unknown =>
    (node as Record<string, unknown> | undefined)?.[part];
  return (parts.reduce<unknown>(step, document) ?? {}) as Schema;
}

function exampleOfObject(schema: Schema, place: Place): Record<string, unknown> {
  const example: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const value = exampleOf(property, { ...place, name, depth: place.depth + 1 });
    if (value !== undefined) example[name] = value;
  }
  return example;
}

function exampleOfText(schema: Schema, name: string): string {
  const known = KNOWN[name];
  if (typeof known === 'string' && fits(known, schema)) return known;
  if (schema['format'] === 'date-time') return MOMENT;
  const short = 'text';
  return short.padEnd(Number(schema['minLength'] ?? 0), '.').slice(0, lengthMax(schema));
}

function lengthMax(schema: Schema): number {
  return Number(schema['maxLength'] ?? Number.MAX_SAFE_INTEGER);
}

function fits(text: string, schema: Schema): boolean {
  if (text.length > lengthMax(schema) || text.length < Number(schema['minLength'] ?? 0))
    return false;
  const pattern = schema['pattern'];
  return typeof pattern !== 'string' || new RegExp(pattern, 'u').test(text);
}

function exampleOfNumber(schema: Schema, name: string): number {
  const known = KNOWN[name];
  if (typeof known === 'number' && (schema.type !== 'integer' || Number.isInteger(known)))
    return known;
  const least = Number(schema['minimum'] ?? schema['exclusiveMinimum'] ?? 0);
  // Ids are positive.
  return Math.max(1, Math.ceil(least));
}
