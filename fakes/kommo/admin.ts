import { z } from 'zod';
import { CATALOGUE_ROUTES } from './admin-catalogue.ts';
import { matchPath, type AdminRequest, type AdminRoute } from './admin-route.ts';
import { WORLD_ROUTES } from './admin-world.ts';
import type { Answer } from './answer.ts';
import { isVirtual, type Clock } from './clock.ts';
import { faultInput, type Faults } from './faults.ts';
import { accountInput } from './inputs.ts';
import type { Limiter } from './limiter.ts';
import { WorldError } from './model.ts';
import type { RequestLog } from './request-log.ts';
import type { World } from './world.ts';

/** What a fake is made of, for whoever may change it. */
export type Parts = {
  readonly clock: Clock;
  readonly wireClock: Clock;
  readonly limiter: Limiter;
  readonly faults: Faults;
  readonly requests: RequestLog;
  readonly worlds: ReadonlyMap<string, World>;
  createAccount(input: z.infer<typeof accountInput>): unknown;
};

/**
 * The world over HTTP, for programs in other languages: `/__admin/...`, JSON both ways. Refusals are `{ error }` with 400,
 * 404 or 409. Not limited, not logged, met by no fault.
 */
export function answerAdminRequest(
  parts: Parts,
  request: { method: string; path: string; query: URLSearchParams; body: unknown },
): Answer {
  try {
    const found = dispatch(parts, request);
    if (!found) return json(404, { error: `there is no ${request.method} ${request.path}` });
    return found.result === undefined ? json(204, undefined) : json(200, found.result);
  } catch (error) {
    if (error instanceof z.ZodError) {
      return json(400, { error: z.prettifyError(error), issues: error.issues });
    }
    if (error instanceof WorldError) return json(409, { error: error.message });
    throw error;
  }
}

function dispatch(
  parts: Parts,
  { method, path, query, body }: Parameters<typeof answerAdminRequest>[1],
): { result: unknown } | undefined {
  const rest = path.replace(/^\/__admin\/?/, '').replace(/\/$/, '');
  const [first, subdomain = '', ...more] = rest.split('/');
  const given = { method, query, body };
  if (first !== 'accounts' || subdomain === '')
    return run(FAKE_ROUTES, parts, { ...given, path: rest });
  const world = parts.worlds.get(decodeURIComponent(subdomain));
  if (world === undefined) return undefined;
  return run([...WORLD_ROUTES, ...CATALOGUE_ROUTES], world, { ...given, path: more.join('/') });
}

function run<Of>(
  routes: readonly AdminRoute<Of>[],
  of: Of,
  request: Omit<AdminRequest, 'params'> & { method: string; path: string },
): { result: unknown } | undefined {
  for (const route of routes) {
    const params = route.method === request.method && matchPath(route.path, request.path);
    if (params) return { result: route.run(of, { ...request, params }) };
  }
  return undefined;
}

function json(status: number, body: unknown): Answer {
  return { status, type: 'json', body };
}

const requestQuery = z.object({
  address: z.string().optional(),
  subdomain: z.string().optional(),
  endpoint: z.string().optional(),
  status: z.coerce.number().optional(),
  after: z.coerce.number().optional(),
});
const banBody = z.strictObject({ address: z.string(), seconds: z.number().positive() });
const advanceBody = z.strictObject({ ms: z.number().min(0) });

const FAKE_ROUTES: readonly AdminRoute<Parts>[] = [
  {
    method: 'GET',
    path: 'accounts',
    run: ({ worlds }) =>
      [...worlds.values()].map(({ id, name, subdomain }) => ({ id, name, subdomain })),
  },
  {
    method: 'POST',
    path: 'accounts',
    run: (parts, { body }) => parts.createAccount(accountInput.parse(body)),
  },
  { method: 'GET', path: 'faults', run: ({ faults }) => faults.list() },
  {
    method: 'POST',
    path: 'faults',
    run: ({ faults }, { body }) => faults.add(faultInput.parse(body)),
  },
  { method: 'DELETE', path: 'faults', run: ({ faults }) => faults.clear() },
  {
    method: 'DELETE',
    path: 'faults/:id',
    run: ({ faults }, { params }) => {
      if (!faults.remove(Number(params['id']))) throw new WorldError('there is no such fault');
    },
  },
  { method: 'GET', path: 'limiter', run: ({ limiter }) => limiter.settings },
  {
    method: 'PATCH',
    path: 'limiter',
    run: ({ limiter }, { body }) => {
      limiter.set(z.looseObject({}).parse(body));
      return limiter.settings;
    },
  },
  {
    method: 'POST',
    path: 'limiter/ban',
    run: ({ limiter }, { body }) => {
      const { address, seconds } = banBody.parse(body);
      limiter.ban(address, seconds);
    },
  },
  { method: 'POST', path: 'limiter/forgive', run: ({ limiter }) => limiter.forgive() },
  {
    method: 'GET',
    path: 'requests',
    run: ({ requests }, { query }) =>
      requests.list(requestQuery.parse(Object.fromEntries(query.entries()))),
  },
  {
    method: 'GET',
    path: 'requests/peaks',
    run: ({ requests }) => ({
      count: requests.count,
      mostInAnySecond: Object.fromEntries(
        requests.addresses().map((address) => [address, requests.mostInAnySecond(address)]),
      ),
    }),
  },
  { method: 'DELETE', path: 'requests', run: ({ requests }) => requests.clear() },
  {
    method: 'GET',
    path: 'clock',
    run: ({ clock }) => ({ nowMs: clock.now(), isVirtual: isVirtual(clock) }),
  },
  {
    method: 'POST',
    path: 'clock',
    run: ({ clock, wireClock }, { body }) => {
      const { ms } = advanceBody.parse(body);
      const virtual = [...new Set([clock, wireClock])].filter(isVirtual);
      if (virtual.length === 0) throw new WorldError('the clock is a real one');
      for (const each of virtual) each.advance(ms);
      return { nowMs: clock.now() };
    },
  },
];
