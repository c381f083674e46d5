import type { Random } from './faults/fault.ts';
import type { OwnWorld } from './world.ts';

export type RestAnswer = {
  readonly status: number;
  readonly text: string;
  /** `hit`, `miss`, `bypass`. */
  readonly cache: string;
  readonly cursor: string | undefined;
  /** Of a write. */
  readonly commit: string | undefined;
  readonly etag: string | undefined;
};

type Ask = { readonly body?: unknown; readonly minCommit?: string; readonly ifMatch?: string };

/** Behind every commit: what asks for it is answered by Postgres. */
export const NEVER_CACHED = 'FFFFFFFF/FFFFFFFF';
const TIMEOUT_MS = 20_000;

/** Asks one of the APIs. `route`: `GET /api/tags`. @throws Error when none answers. */
export type Rest = (token: string, route: string, ask?: Ask) => Promise<RestAnswer>;

export function createRest(world: OwnWorld, random: Random): Rest {
  const apis = world.processes.filter(({ role }) => role === 'api');
  return async (token, route, { body, minCommit, ifMatch } = {}) => {
    const [method = '', path = ''] = route.split(' ');
    const api = apis[random(apis.length)];
    const answer = await fetch(`${api?.running.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(minCommit === undefined ? {} : { 'clarin-min-commit': minCommit }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return {
      status: answer.status,
      text: await answer.text(),
      cache: answer.headers.get('clarin-cache') ?? '',
      cursor: answer.headers.get('clarin-cursor') ?? undefined,
      commit: answer.headers.get('clarin-commit') ?? undefined,
      etag: answer.headers.get('etag') ?? undefined,
    };
  };
}
