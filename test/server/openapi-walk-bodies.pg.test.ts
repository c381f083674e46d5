import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject as provided, test } from 'vitest';
import {
  fingerprint,
  pathWith,
  referringTo,
  tableOf,
  typesOf,
  variantsOf,
  type Operation,
  type Schema,
} from './documented.ts';
import { fieldOf, FORM, formOf } from './forms.ts';
import { isNamed, isOfApi, startWalk, unlike, type Case, type Walk } from './walk.ts';

/** Members whose value may be of any JSON type. */
const TAKES_ANYTHING: readonly string[] = [];

/** Nobody else's files. */
const directory = join(provided('runDirectory'), `walk-${process.pid}`);

let walk: Walk;
let before: string;

beforeAll(async () => {
  walk = await startWalk({ MEDIA_BYTES_MAX: '65536', MEDIA_DIR: directory });
  before = await fingerprint(walk.api, walk.one.accountId);
});

/** Runs last: whatever was refused has left nothing. */
afterAll(async () => {
  expect(await fingerprint(walk.api, walk.one.accountId)).toBe(before);
});

describe('what a route does not take', () => {
  test('because it is larger than a body may be is refused', async () => {
    const body = JSON.stringify({ filler: 'x'.repeat(1024 * 1024) });
    const cases = ask({ says: 'more than 1 MiB', body });
    expect(await unlike(cases, ({ answer }) => answer.status === 413)).toEqual([]);
  });

  test('because it is no JSON, or does not say that it is, is refused', async () => {
    const bomb = gzipSync(Buffer.alloc(16 * 1024 * 1024, '{'));
    async function* cases(): AsyncGenerator<Case> {
      for (const body of ['{"a":', '{"a":1}\u0000', '\u0000', NESTED])
        yield* ask({ says: body.slice(0, 20), body });
      for (const type of ['text/plain', FORM])
        yield* ask({ says: type, body: '{"a":1}', headers: { 'content-type': type } });
      yield* ask({ says: 'gzip', body: bomb, headers: { 'content-encoding': 'gzip' } });
    }
    const wrong = await unlike(
      cases(),
      ({ answer }) => answer.status === 400 && answer.body.code === 'invalid_request',
    );
    expect(wrong).toEqual([]);
  });

  test('as a member of a body is refused by name, however deep', async () => {
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(isOfApi)) {
        const bodies =
          operation.method === 'DELETE'
            ? [{ no_such_member: 1 }]
            : operation.bodies.flatMap(({ schema, example }) =>
                withUnknown(schema, referringTo(example, walk.ids)),
              );
        for (const body of bodies) {
          const answer = await walk.call(operation, { caller: walk.root, body });
          yield { operation, says: JSON.stringify(body), answer };
        }
      }
    }
    expect(await unlike(cases(), ({ answer }) => isNamed(answer, 'no_such_member'))).toEqual([]);
  });

  test('as the type of a member is refused by its name', async () => {
    const anything: string[] = [];
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(isOfApi))
        for (const { schema, example } of operation.bodies)
          for (const [name, member] of Object.entries(schema.properties ?? {})) {
            const wrong = wrongFor(member);
            if (wrong === undefined) {
              anything.push(`${operation.route} ${name}`);
              continue;
            }
            const body = { ...(referringTo(example, walk.ids) as object), [name]: wrong };
            const answer = await walk.call(operation, { caller: walk.root, body });
            yield { operation, says: name, answer };
          }
    }
    const wrong = await unlike(cases(), ({ says, answer }) => isNamed(answer, `body.${says}`));
    expect(wrong).toEqual([]);
    expect(anything).toEqual(TAKES_ANYTHING);
  });
});

describe('a form', () => {
  test('that is none, or has no file, is refused, and nothing is left in the store', async () => {
    const headers = { 'content-type': FORM };
    const body = formOf('file', 'x');
    expect((await walk.api.ask(walk.two, 'POST', '/api/media', { body, headers })).status).toBe(
      201,
    );
    const stored = await countObjects();
    expect(stored).toBe(1);
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const forms: Sent[] = [
      { says: 'JSON', body: '{"file":"x"}' },
      { says: 'no type', body: 'x', headers: {} },
      {
        says: 'no boundary',
        body: formOf('file', 'x'),
        headers: { 'content-type': 'multipart/form-data' },
      },
      { says: 'no file', body: fieldOf('name', 'x'), headers: { 'content-type': FORM } },
      { says: 'nothing', body: '', headers: { 'content-type': FORM } },
      {
        says: 'cut',
        body: formOf('file', 'x'.repeat(900)).subarray(0, 500),
        headers: { 'content-type': FORM },
      },
      { says: 'no bytes', body: formOf('file', ''), headers: { 'content-type': FORM } },
      { says: 'called otherwise', body: formOf('picture', 'x'), headers: { 'content-type': FORM } },
      {
        says: 'too large',
        body: formOf('file', 'name\n'.repeat(14_000)),
        headers: { 'content-type': FORM },
      },
      {
        says: 'packed',
        body: gzipSync(formOf('file', 'x')),
        headers: { 'content-type': FORM, 'content-encoding': 'gzip' },
      },
      { says: 'a bomb as a form', body: bomb, headers: { 'content-type': FORM } },
    ];
    async function* cases(): AsyncGenerator<Case> {
      for (const form of forms) yield* ask(form, ({ isForm }) => isForm);
    }
    const wrong = await unlike(cases(), ({ operation, says, answer }) => {
      if (says !== 'too large') return answer.status === 400;
      // A preview reads the beginning of a file, however long it is, and keeps nothing.
      return answer.status === (operation.path === '/api/imports/preview' ? 200 : 413);
    });
    expect(wrong).toEqual([]);
    expect(await countObjects()).toBe(stored);
  });

  test('with a bomb where rows are expected is refused, and nothing is left in the store', async () => {
    const stored = await countObjects();
    const bomb = gzipSync(Buffer.alloc(32 * 1024 * 1024));
    const headers = { 'content-type': FORM };
    // A file that is only kept and given back may be anything: it is never opened.
    const reading = walk.operations.filter(({ isForm, path }) => isForm && path !== '/api/media');
    async function* cases(): AsyncGenerator<Case> {
      yield* ask({ says: 'gzip', body: formOf('file', bomb), headers }, (one) =>
        reading.includes(one),
      );
    }
    expect(await unlike(cases(), ({ answer }) => answer.status === 400)).toEqual([]);
    expect(await countObjects()).toBe(stored);
  });
});

const NESTED = `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`;

type Sent = { says: string; body: string | Buffer; headers?: Record<string, string> };

/** Sends this to every route that takes a JSON body, or to those that are chosen. */
async function* ask(
  { says, body, headers }: Sent,
  isMeant = ({ bodies }: Operation): boolean => bodies.length > 0,
): AsyncGenerator<Case> {
  for (const operation of walk.operations.filter(isMeant)) {
    const id = walk.ids.get(tableOf(operation, walk.ids) ?? '') ?? 1;
    const answer = await walk.api.ask(walk.root, operation.method, pathWith(operation, id), {
      body,
      headers: { 'content-type': 'application/json', ...headers },
    });
    yield { operation, says, answer };
  }
}

async function countObjects(): Promise<number> {
  // Not there before the first file is.
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  return entries.filter((entry) => entry.isFile()).length;
}

/** The example with one member too many, at each place where a schema names its members. */
function withUnknown(schema: Schema, example: unknown): unknown[] {
  if (Array.isArray(example) && schema.items) {
    const [first, ...rest] = example;
    return withUnknown(schema.items, first).map((changed) => [changed, ...rest]);
  }
  if (typeof example !== 'object' || example === null) return [];
  const [object] = variantsOf(schema).filter(({ properties }) => properties);
  if (!object?.properties) return [];
  const deeper = Object.entries(object.properties).flatMap(([name, member]) =>
    withUnknown(member, (example as Record<string, unknown>)[name]).map((changed) => ({
      ...example,
      [name]: changed,
    })),
  );
  return [{ ...example, no_such_member: 1 }, ...deeper];
}

/** A value of a type that the schema does not allow. */
function wrongFor(schema: Schema): unknown {
  const types = typesOf(schema);
  if (types.size === 0) return undefined;
  const candidates = [{ wrong: true }, [[[]]], 'a\0b', true, 1.5];
  return candidates.find((value) => !types.has(Array.isArray(value) ? 'array' : typeof value));
}
