import { expect } from 'vitest';
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
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

/** Two accounts, and everything the document says there is to ask them for. */
export type Walk = {
  readonly api: TestApi;
  readonly one: Caller;
  readonly two: Caller;
  readonly operations: readonly Operation[];
  /** An id of every table, of the first account and of the second. */
  readonly ids: Ids;
  readonly foreign: Ids;
  /** A super administrator of the first account: nothing is refused for want of a permission. */
  readonly root: { readonly token: string };
  /** With a path and a body that are right in themselves, about rows of this account unless others are given. */
  readonly call: (operation: Operation, calling?: Calling) => Promise<Answer>;
  /** What a route cannot be asked without. `but`: a parameter that is given already. */
  readonly needed: (operation: Operation, but?: string) => string;
};

type Calling = {
  readonly caller?: { readonly token: string } | null;
  /** Those that the example of the body points to. */
  readonly rows?: Ids;
  readonly query?: string;
  readonly id?: string;
  readonly body?: unknown;
};

export async function startWalk(environment: Record<string, string> = {}): Promise<Walk> {
  const api = await startTestApi({ environment });
  const one = await api.account('one');
  const two = await api.account('two');
  const ids = await readIds(api, one.accountId);
  await api.tokenOf(one, []);
  const [boss] = await api.owner.query(sql`
    update public.users set is_super_admin = true
    where id = (select max(user_id) from public.memberships where account_id = ${one.accountId})
    returning id`);
  // A session from before does not become one of a super administrator.
  const root = { accountId: one.accountId, userId: Number(boss?.['id']) };
  return {
    api,
    one,
    two,
    ids,
    foreign: await readIds(api, two.accountId),
    operations: await readOperations(api),
    root: { token: await api.tokenOf(root) },
    call: (operation, { caller = one, rows = ids, query = '', ...given } = {}) => {
      const id = given.id ?? rows.get(tableOf(operation, rows) ?? '') ?? 1;
      const [first] = operation.bodies;
      const body = given.body ?? (first && referringTo(first.example, rows));
      return api.ask(caller ?? undefined, operation.method, pathWith(operation, id) + query, {
        body,
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
      });
    },
    needed: ({ route }, but = '') => {
      if (route === 'GET /api/messages' && but !== 'search') return '&search=morning';
      return route === 'GET /api/contacts/{id}/merge' ? `&contact_ids=${one.contactIds[1]}` : '';
    },
  };
}

export type Case = {
  readonly operation: Operation;
  readonly says: string;
  readonly answer: Answer;
};

/** Those that were not answered as they should be, in words. */
export async function unlike(
  cases: AsyncIterable<Case>,
  isRight: (one: Case) => boolean,
): Promise<string[]> {
  const wrong: string[] = [];
  let total = 0;
  for await (const each of cases) {
    total++;
    const { operation, says, answer } = each;
    const found = `${operation.route} (${says}): ${answer.status} ${answer.text}`;
    if (!isRight(each)) wrong.push(found.slice(0, 300));
  }
  expect(total).toBeGreaterThan(0);
  return wrong;
}

export const hasId = ({ path }: Operation): boolean => path.includes('{id}');
export const isOfApi = ({ path }: Operation): boolean => path.startsWith('/api/');

/** 400, and the fields that are wrong are named. */
export function isNamed(answer: Answer, name: string): boolean {
  const fields = answer.body?.details?.fields as { field: string; says: string }[] | undefined;
  return (
    answer.status === 400 &&
    (fields ?? []).some(({ field, says }) => `${field} ${says}`.includes(name))
  );
}
