import { setMaxListeners } from 'node:events';
import type { Answer } from './answer.ts';
import { KommoError } from './errors.ts';
import type { HttpResult } from './http.ts';
import type { Lane } from './limiter.ts';
import type { KommoMeans } from './means.ts';

type Request = {
  readonly url: string;
  readonly lane: Lane;
  readonly headers: Readonly<Record<string, string>>;
};

/** Sends requests of one connection, each when its turn has come. */
export type Sender = {
  /** @throws KommoError `unavailable` without an answer, and what the limiter throws. */
  get(request: Request): Promise<Answer>;
  /** So many have left. */
  requests(): number;
  /** One more has, that was sent another way. */
  count(): void;
};

/** More moments in a row do not help a request that misses this many. */
const SLOTS_MAX = 16;

export function createSender(
  { http, limiter }: Pick<KommoMeans, 'http' | 'limiter'>,
  { connectionId, signal }: { connectionId: number; signal: AbortSignal },
): Sender {
  // As many may wait with it as there are calls.
  setMaxListeners(0, signal);
  let requests = 0;
  return {
    get: async ({ url, lane, headers }) => {
      for (let slots = 1; slots <= SLOTS_MAX; slots *= 2) {
        const { startByMs } = await limiter.acquire({ lane, connectionId, signal, slots });
        const result = await http.send({ method: 'GET', url, headers, startByMs, signal });
        // The first time it takes a connection to be made; the next finds it there.
        if (result.kind === 'late') continue;
        requests += 1;
        return answerOf(result);
      }
      throw new KommoError('unavailable', sayBroken('no connection in time'));
    },
    requests: () => requests,
    count: () => {
      requests += 1;
    },
  };
}

function answerOf(result: Exclude<HttpResult, { kind: 'late' }>): Answer {
  if (result.kind === 'answered') return result.answer;
  throw new KommoError('unavailable', sayBroken(result.code));
}

/** For an operator: what happened on the way. */
export function sayBroken(code: string): string {
  return `Kommo did not answer (${code}).`;
}
