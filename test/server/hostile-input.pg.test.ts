import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import {
  pathWith,
  readIds,
  readOperations,
  referringTo,
  tableOf,
  type Ids,
  type Operation,
} from './documented.ts';
import { FORM, formOf } from './forms.ts';
import { hostileRequests, type Hostile } from './hostile.ts';
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

/** Another one finds other things: set it to what a failure printed, or to anything. */
const SEED = Number(process.env['HOSTILE_SEED'] ?? 20_261_124);
const RUNS = Number(process.env['HOSTILE_RUNS'] ?? 6);
/** Hashing a password is slow on purpose. */
const RUNS_WITH_PASSWORD = 4;

/** Words of Postgres, of Node and of where this is installed: nothing for callers. */
const INSIDES =
  /select |insert into|pg_|violates|syntax error|relation "|column "|at Object|at async|\/work|node_modules|\.ts:\d|clarin\.\w+\(/i;

let api: TestApi;
let operations: Operation[];
/** Routes whose own work has begun: what was asked for was not malformed. */
const reached = new Set<string>();

beforeAll(async () => {
  api = await startTestApi({ environment: { MEDIA_BYTES_MAX: '65536' } });
  // Readiness says 503 when it is so: here is no replicator.
  operations = (await readOperations(api)).filter(({ path }) => path !== '/health/ready');
});

type Place = { readonly caller: Caller; readonly ids: Ids };

/** An account of its own for each group of routes, by a super administrator: requests get as far as they can. */
async function openPlace(name: string): Promise<Place> {
  const caller = await api.account(name);
  await api.owner.query(
    sql`update public.users set is_super_admin = true where id = ${caller.userId}`,
  );
  const victim = await api.account(`${name}-victim`);
  const file = await api.ask({ token: await api.tokenOf(caller) }, 'POST', '/api/media', {
    body: formOf('file', 'some bytes'),
    headers: { 'content-type': FORM },
  });
  const ids = new Map(await readIds(api, caller.accountId));
  ids.set('accounts', victim.accountId).set('media', file.body.data.id);
  return { caller, ids: ids.set('users', victim.userId) };
}

function ask(operation: Operation, token: string, request: Hostile): Promise<Answer> {
  const { id, query, body, headers } = request;
  const type = operation.isForm ? FORM : 'application/json';
  const path = pathWith(operation, id) + (query === '' ? '' : `?${query}`);
  return api.ask({ token }, operation.method, path, {
    body,
    headers: { ...(body === undefined ? {} : { 'content-type': type }), ...headers },
  });
}

/** What is wrong with an answer, in a word. */
function fault({ status, text, body }: Answer): string | undefined {
  if (status >= 500) return `answers ${status}`;
  if (INSIDES.test(status < 400 ? '' : text)) return 'shows our insides';
  if (status < 400 || text === '') return undefined;
  const names = Object.keys((body ?? {}) as object);
  const isShaped =
    typeof body?.error === 'string' &&
    typeof body?.code === 'string' &&
    names.every((name) => ['error', 'code', 'details'].includes(name));
  return isShaped ? undefined : 'has another shape than a refusal';
}

/** In words, when there is a request that is answered wrongly. */
async function attack(operation: Operation, { caller, ids }: Place): Promise<string | undefined> {
  const own = ids.get(tableOf(operation, ids) ?? '') ?? 1;
  const examples = operation.bodies.map(({ example }) => referringTo(example, ids));
  const requests = hostileRequests(operation, { ids: [String(own), String(own + 1)], examples });
  const [example] = examples;
  const harmless: Hostile = {
    id: String(own),
    query: operation.required.map((name) => `${name}=${own + 1}`).join('&'),
    body: operation.isForm ? formOf('file', 'name,phone') : JSON.stringify(example),
    headers: {},
  };
  const takesPassword = operation.bodies.some(({ schema }) => schema.properties?.['password']);
  const property = fc.asyncProperty(requests, async (request) => {
    // Sessions end on the way: by logging out, by changing a password.
    const answer = await ask(operation, await api.tokenOf(caller), request);
    if (answer.status !== 400) reached.add(operation.route);
    const wrong = fault(answer);
    if (wrong !== undefined) throw new Error(`${wrong}: ${answer.text.slice(0, 300)}`);
  });
  const numRuns = takesPassword ? Math.min(RUNS_WITH_PASSWORD, RUNS) : RUNS;
  const result = await fc.check(property, { numRuns, seed: SEED, examples: [[harmless]] });
  if (!result.failed) return undefined;
  const request = JSON.stringify(result.counterexample).slice(0, 600);
  return `${operation.route} (seed ${SEED}): ${String(result.errorInstance)} for ${request}`;
}

test(
  'no request whatever breaks a route, or learns of our insides',
  { timeout: 60_000 + RUNS * 20_000 },
  async () => {
    const names = new Set(operations.map(groupOf));
    const wrong: string[] = [];
    for (const name of names) {
      const place = await openPlace(`group-${name.replaceAll('_', '-')}x`);
      // What is deleted cannot be asked for any more.
      const group = operations.filter((operation) => groupOf(operation) === name);
      const inOrder = group.toSorted((left, right) => rank(left) - rank(right));
      for (const operation of inOrder) {
        const found = await attack(operation, place);
        if (found !== undefined) wrong.push(found);
      }
    }
    expect(wrong).toEqual([]);
    const routes = operations.map(({ route }) => route);
    expect(routes.filter((route) => !reached.has(route))).toEqual([]);
  },
);

const groupOf = ({ path }: Operation): string => path.split('/')[2] ?? '';
const rank = ({ method }: Operation): number => (method === 'DELETE' ? 1 : 0);
