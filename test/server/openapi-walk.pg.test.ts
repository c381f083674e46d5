import { beforeAll, describe, expect, test } from 'vitest';
import { fingerprint, readIds, referringTo, tableOf, type Operation } from './documented.ts';
import { hasId, isNamed, isOfApi, startWalk, unlike, type Case, type Walk } from './walk.ts';

/** Whoever has no token may call these. */
const PUBLIC = [
  'GET /health/live',
  'GET /health/ready',
  'GET /metrics',
  'POST /api/auth/login',
  'POST /api/auth/logout',
  'POST /api/auth/refresh',
  // By the secret in its address.
  'POST /api/kommo/webhook/{secret}',
];

/** Every member of an account may call these, whatever the role. */
const MEMBER = [
  'GET /api/account',
  'GET /api/auth/me',
  'GET /api/people',
  'GET /api/sessions',
  'DELETE /api/sessions/{id}',
  'GET /api/stats',
  'POST /api/auth/password',
  'POST /api/auth/switch-account',
];

/** For super administrators: nobody else learns which there are. */
const OF_SUPER_ADMINS = [
  'GET /api/accounts/{id}',
  'PATCH /api/accounts/{id}',
  'DELETE /api/accounts/{id}',
  'DELETE /api/users/{id}',
];

/** Cursors of other lists that each list is asked to go on with. */
const FOREIGN_CURSORS = 4;

let walk: Walk;

beforeAll(async () => {
  walk = await startWalk();
});

describe('on every route', () => {
  test('nobody gets in without a token, whatever the verb', async () => {
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(({ route }) => !PUBLIC.includes(route))) {
        const methods = operation.method === 'GET' ? ['GET', 'HEAD'] : [operation.method];
        for (const method of methods) {
          const answer = await walk.call({ ...operation, method }, { caller: null });
          yield { operation, says: method, answer };
          const forged = await walk.call(
            { ...operation, method },
            { caller: { token: 'clarin_x' } },
          );
          yield { operation, says: `${method} with a forged token`, answer: forged };
        }
      }
    }
    expect(await unlike(cases(), ({ answer }) => answer.status === 401)).toEqual([]);
    const routes = walk.operations.map(({ route }) => route);
    expect([...PUBLIC, ...MEMBER].filter((route) => !routes.includes(route))).toEqual([]);
  });

  test('a role without permissions may do nothing but what every member may', async () => {
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(({ route }) => !PUBLIC.includes(route))) {
        const caller = { token: await walk.api.tokenOf(walk.one, []) };
        yield { operation, says: 'no permission', answer: await walk.call(operation, { caller }) };
      }
    }
    const wrong = await unlike(cases(), ({ operation, answer }) =>
      MEMBER.includes(operation.route) ? answer.status !== 403 : answer.status === 403,
    );
    expect(wrong).toEqual([]);
  });

  test("another account's rows are not there, and stay as they are", async () => {
    const before = await fingerprint(walk.api, walk.two.accountId);
    const withId = walk.operations.filter(hasId);
    const unknown = withId.filter((operation) => tableOf(operation, walk.foreign) === undefined);
    expect(unknown.map(({ route }) => route)).toEqual([]);
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of withId) {
        const id = String(walk.foreign.get(tableOf(operation, walk.foreign) ?? ''));
        const query = walk.needed(operation).replace('&', '?');
        yield { operation, says: `id ${id}`, answer: await walk.call(operation, { id, query }) };
      }
    }
    const wrong = await unlike(
      cases(),
      ({ operation, answer }) =>
        answer.status === (OF_SUPER_ADMINS.includes(operation.route) ? 403 : 404),
    );
    expect(wrong).toEqual([]);
    expect(await fingerprint(walk.api, walk.two.accountId)).toBe(before);
  });

  test("a body that points to another account's rows neither changes nor shows them", async () => {
    const three = await walk.api.account('three');
    const own = await readIds(walk.api, three.accountId);
    const before = await fingerprint(walk.api, walk.two.accountId);
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations) {
        for (const { example } of operation.bodies) {
          const caller = { token: await walk.api.tokenOf(three) };
          const body = referringTo(example, walk.foreign);
          const answer = await walk.call(operation, { caller, rows: own, body });
          yield { operation, says: JSON.stringify(body), answer };
        }
      }
    }
    const shown = `"account_id":${walk.two.accountId},`;
    const wrong = await unlike(
      cases(),
      ({ answer }) => answer.status < 500 && !answer.text.includes(shown),
    );
    expect(wrong).toEqual([]);
    expect(await fingerprint(walk.api, walk.two.accountId)).toBe(before);
  });
});

describe('what a route does not take', () => {
  let caller: { readonly token: string };

  beforeAll(async () => {
    caller = walk.root;
    const before = await fingerprint(walk.api, walk.one.accountId);
    return async () => expect(await fingerprint(walk.api, walk.one.accountId)).toBe(before);
  });

  test('as a parameter of the query is refused by name', async () => {
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(isOfApi)) {
        const answer = await walk.call(operation, { caller, query: '?no_such_parameter=1' });
        yield { operation, says: 'unknown', answer };
      }
    }
    expect(await unlike(cases(), ({ answer }) => isNamed(answer, 'no_such_parameter'))).toEqual([]);
  });

  test('twice in a query is refused by name', async () => {
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(isOfApi))
        for (const name of operation.query) {
          const answer = await walk.call(operation, { caller, query: `?${name}=1&${name}=1` });
          yield { operation, says: name, answer };
        }
    }
    expect(await unlike(cases(), ({ says, answer }) => isNamed(answer, says))).toEqual([]);
  });

  test('as an id is refused', async () => {
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(hasId))
        for (const id of ['0', '-1', '1e3', '9007199254740993', 'abc', '%00']) {
          yield { operation, says: id, answer: await walk.call(operation, { caller, id }) };
        }
    }
    expect(await unlike(cases(), ({ answer }) => isNamed(answer, 'params.id'))).toEqual([]);
  });

  test('as a page, a limit, an order or a cursor is refused by name', async () => {
    const long = 'x'.repeat(5_000);
    const hostile: Record<string, readonly string[]> = {
      limit: ['0', '-1', '201', '1e9', '1000000000', '1.5', '', ' 1', '0x10', 'NaN'],
      page: ['0', '-1', '10001', '1e9', '9007199254740993', '1.5', '', 'all'],
      sort: ['id; drop table', 'password_hash', '__proto__', 'constructor', '', "title'--", 'ID'],
      order: ['ASC', 'asc, id', '', 'up'],
      cursor: ['', 'garbage', '%00', long, '..%2F', forged('x'), forged({}), forged([1, 2, 3, 4])],
    };
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of walk.operations.filter(isOfApi))
        for (const name of operation.query)
          for (const value of hostile[name] ?? []) {
            const answer = await walk.call(operation, {
              caller,
              query: `?${name}=${value}${walk.needed(operation, name)}`,
            });
            yield { operation, says: `${name} ${value.slice(0, 40)}`, answer };
          }
    }
    const wrong = await unlike(cases(), ({ says, answer }) =>
      isNamed(answer, says.split(' ', 1)[0] ?? ''),
    );
    expect(wrong).toEqual([]);
  });

  test('as a cursor because it is of another list is refused, and one that was made up breaks nothing', async () => {
    const lists = walk.operations.filter(
      ({ query, path }) => query.includes('cursor') && isOfApi({ path } as Operation),
    );
    const cursors = new Map<string, string>();
    for (const operation of lists.filter(({ query }) => query.includes('limit'))) {
      const { body } = await walk.call(operation, { caller, query: '?limit=1' });
      if (typeof body?.next_cursor === 'string') cursors.set(operation.path, body.next_cursor);
    }
    expect(cursors.size).toBeGreaterThan(10);
    async function* cases(): AsyncGenerator<Case> {
      for (const operation of lists)
        for (const [path, cursor] of [...cursors]
          .filter(([path]) => path !== operation.path)
          .slice(0, FOREIGN_CURSORS)) {
          const answer = await walk.call(operation, {
            caller,
            query: `?cursor=${cursor}${walk.needed(operation, 'cursor')}`,
          });
          yield { operation, says: `cursor of ${path}`, answer };
        }
    }
    expect(await unlike(cases(), ({ answer }) => isNamed(answer, 'cursor'))).toEqual([]);

    async function* madeUp(): AsyncGenerator<Case> {
      for (const operation of lists.filter(({ path }) => cursors.has(path)))
        for (const cursor of tampered(cursors.get(operation.path) ?? '')) {
          const query = `?cursor=${cursor}${walk.needed(operation, 'cursor')}`;
          yield { operation, says: cursor, answer: await walk.call(operation, { caller, query }) };
        }
    }
    expect(await unlike(madeUp(), ({ answer }) => [200, 400].includes(answer.status))).toEqual([]);
  });
});

/** The cursor with each of its parts replaced by what Postgres could not read. */
function tampered(cursor: string): string[] {
  const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown;
  if (!Array.isArray(parts)) return [];
  return parts.flatMap((_, place) =>
    ["1'; select", '', 'infinity', '1e999', -1, 1e300, null, [], { a: 1 }].map((value) =>
      forged(parts.with(place, value)),
    ),
  );
}

function forged(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
