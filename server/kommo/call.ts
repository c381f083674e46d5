import type { z } from 'zod';
import type { KommoGrant } from '../commands/kommo-tokens.ts';
import { nextDelay, serverSecondsOf } from './answer.ts';
import { KommoError, sayFailure } from './errors.ts';
import { judge, requestIdOf } from './failed.ts';
import type { Lane } from './limiter.ts';
import type { KommoMeans } from './means.ts';
import type { Place } from './place.ts';
import type { Sender } from './sender.ts';
import type { TokenSource } from './token-source.ts';

type Call<T> = {
  readonly lane: Lane;
  /** Behind the account's address, with its query. */
  readonly path: string;
  readonly document: z.ZodType<T>;
  /** That Kommo takes too long (504) is thrown at once: the caller asks for less. */
  readonly isShrinkable?: boolean;
  /** Of one row: that it is not there says nothing about the account. */
  readonly isOfRow?: boolean;
};

export type Called<T> = {
  /** Undefined: 204, there is nothing. */
  readonly value: T | undefined;
  /** When it was answered, by the server's clock, Unix seconds. */
  readonly serverSeconds: number;
};

export type Caller = <T>(call: Call<T>) => Promise<Called<T>>;

type Options = {
  readonly place: Place;
  readonly sender: Sender;
  readonly tokens: TokenSource;
  readonly signal: AbortSignal;
};

/** Tokens that one call tries: the one at hand, one that another process has kept since, one that is renewed. */
const TOKENS_MAX = 3;

/**
 * Calls of one connection: an answer that is what it should be, or a KommoError. What may pass is tried again with a pause;
 * a token that is over is renewed, once; an account that has moved is looked for, once.
 */
export function createCaller(means: KommoMeans, options: Options): Caller {
  const { place, tokens, signal } = options;
  return async (call) => {
    let grant = await tokens.current();
    let isNew = false;
    let refused = 0;
    let failed = 0;
    let hasLooked = false;
    for (;;) {
      const tried = await tryOnce(means, options, { call, grant });
      if (!(tried instanceof KommoError)) return tried;
      if (tried.kind === 'needs_reauth') {
        refused += 1;
        if (isNew || refused >= TOKENS_MAX) throw refusedWith(tried, grant);
        ({ grant, isNew } = await tokens.after(grant, tried));
        continue;
      }
      if (tried.kind === 'not_found' && !call.isOfRow && !hasLooked) {
        hasLooked = true;
        if (await place.move(grant)) continue;
      }
      if (isSlow(tried) && call.isShrinkable) throw tried;
      const delayMs = nextDelay(tried.kind, { attempt: failed, random: means.random() });
      // Where a person waits, trying again is theirs to decide.
      if (delayMs === undefined || call.lane === 'interactive') throw tried;
      failed += 1;
      await means.sleep(delayMs, signal);
    }
  };
}

function refusedWith(error: KommoError, { keptAt }: KommoGrant): KommoError {
  const { kind, message, status, requestId } = error;
  return new KommoError(kind, message, { status, requestId, tokensKeptAt: keptAt });
}

export function isSlow(error: unknown): boolean {
  return error instanceof KommoError && error.status === 504;
}

async function tryOnce<T>(
  means: KommoMeans,
  { place, sender }: Options,
  { call, grant }: { call: Call<T>; grant: KommoGrant },
): Promise<Called<T> | KommoError> {
  const { path } = call;
  const headers = { authorization: `Bearer ${grant.accessToken}` };
  let answer;
  try {
    answer = await sender.get({ url: `${place.base()}${path}`, lane: call.lane, headers });
  } catch (error) {
    if (error instanceof KommoError) return error;
    throw error;
  }
  const secrets = [grant.accessToken];
  const judged = await judge(means, answer, { path, secrets });
  if (judged.kind === 'failed') return judged.error;
  const about = { status: answer.status, requestId: requestIdOf(answer, secrets) };
  const serverSeconds = serverSecondsOf(answer.headers);
  if (serverSeconds === undefined)
    return new KommoError('malformed', sayFailure('malformed', 'no Date'), about);
  if (judged.kind === 'empty') return { value: undefined, serverSeconds };
  const parsed = call.document.safeParse(judged.value);
  if (parsed.success) return { value: parsed.data, serverSeconds };
  return new KommoError(
    'malformed',
    `${sayFailure('malformed')} ${sayFaults(parsed.error)}`,
    about,
  );
}

/** Where it is not what it should be; never what stands there. */
function sayFaults(error: z.ZodError): string {
  const [first] = error.issues;
  return `${first?.path.join('.') ?? ''}: ${first?.code ?? ''}`.slice(0, 200);
}
