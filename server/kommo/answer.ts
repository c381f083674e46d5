import { z } from 'zod';
import type { KommoFailure } from './errors.ts';

/** As it came over the wire. Names of headers are in lower case. */
export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
};

export type Outcome =
  | { readonly kind: 'value'; readonly value: unknown }
  /** 204: a list without rows, or nothing with this id. */
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'failed';
      readonly failure: KommoFailure;
      /** What Kommo says, as it says it: to be cleaned before anybody sees it. */
      readonly detail: string | undefined;
      /** How long requests of our address are to rest, of `rate_limited`. */
      readonly pauseSeconds?: number;
    };

/** The least rest after a 429, and the most that is believed. */
const PAUSE_SECONDS_MIN = 60;
const PAUSE_SECONDS_MAX = 24 * 3_600;

/**
 * What an answer means. Statuses as Kommo documents them, and how it behaves besides: a block is a page of nginx with
 * 403, a 429 says how long in its body or in a header or not at all.
 * https://developers.kommo.com/docs/http-codes
 */
export function judgeAnswer({ status, headers, text }: Answer): Outcome {
  const body = parse(text);
  if (status === 204) return { kind: 'empty' };
  if (status >= 200 && status < 300)
    return body === undefined
      ? { kind: 'failed', failure: 'malformed', detail: 'the body is not JSON' }
      : { kind: 'value', value: body.value };
  const problem = problemOf(body?.value);
  const failed = (failure: KommoFailure): Outcome => ({
    kind: 'failed',
    failure,
    detail: detailOf(problem),
  });
  if (status === 429) {
    const pauseSeconds = pauseOf(headers, problem?.retry_after);
    return { kind: 'failed', failure: 'rate_limited', detail: detailOf(problem), pauseSeconds };
  }
  // Rights are spoken of in JSON; anything else in front of us has shut the door.
  if (status === 403) return failed(problem ? 'forbidden' : 'blocked');
  if (status === 401) return failed('needs_reauth');
  if (status === 402) return failed('payment_required');
  // A redirect leads to a page for people: of another subdomain, or of none.
  if (status === 404 || (status >= 300 && status < 400)) return failed('not_found');
  if (status >= 500 || status === 408) return failed('unavailable');
  return failed('rejected');
}

/** A problem of RFC 9457, as far as we read it, and the errors of OAuth. */
const problemBody = z.looseObject({
  title: z.string().optional().catch(undefined),
  detail: z.string().optional().catch(undefined),
  hint: z.string().optional().catch(undefined),
  error: z.string().optional().catch(undefined),
  retry_after: z.coerce.number().optional().catch(undefined),
  'validation-errors': z.unknown().optional(),
});
type Problem = z.infer<typeof problemBody>;

function problemOf(value: unknown): Problem | undefined {
  const parsed = problemBody.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

function detailOf(problem: Problem | undefined): string | undefined {
  if (!problem) return undefined;
  const said = [problem.detail ?? problem.title ?? problem.error, problem.hint];
  const faults = problem['validation-errors'];
  if (faults !== undefined) said.push(print(faults));
  const text = said.filter((part) => part !== undefined && part !== '').join('; ');
  return text === '' ? undefined : text;
}

/** Undefined: it is too deep to be printed. */
function print(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function pauseOf(headers: Answer['headers'], fromBody: number | undefined): number {
  const header = headers['retry-after']?.trim() ?? '';
  // Seconds, or a moment, which counts from the server's own. RFC 9110, 10.2.3
  const fromHeader = /^\d+$/.test(header)
    ? Number(header)
    : (Date.parse(header) - Date.parse(headers['date'] ?? '')) / 1_000;
  const asked = [fromHeader, fromBody ?? NaN].filter(Number.isFinite);
  return Math.min(PAUSE_SECONDS_MAX, Math.max(PAUSE_SECONDS_MIN, ...asked));
}

function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

/** The server's clock, Unix seconds; undefined when the answer does not say. */
export function serverSecondsOf(headers: Answer['headers']): number | undefined {
  const atMs = Date.parse(headers['date'] ?? '');
  return Number.isNaN(atMs) ? undefined : Math.floor(atMs / 1_000);
}

/** Times that one call is tried; the caller comes again at its own pace. */
const TRIES_MAX = 4;
const DELAY_MIN_MS = 1_000;
const DELAY_MAX_MS = 60_000;

/**
 * How long to wait before a call is tried again, in ms; `attempt` counts from 0. Full jitter: many who failed at once do
 * not come back at once. Undefined: it is not tried again.
 */
export function nextDelay(
  failure: KommoFailure,
  { attempt, random }: { attempt: number; random: number },
): number | undefined {
  if (failure !== 'unavailable' && failure !== 'malformed') return undefined;
  if (attempt + 1 >= TRIES_MAX) return undefined;
  return Math.round(random * Math.min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** attempt));
}

/** Rows of a page: the next smaller one when Kommo takes too long over the larger. */
const LIMITS = [250, 125, 50] as const;
export const LIMIT_MAX: number = LIMITS[0];
export const LIMIT_MIN: number = LIMITS[2];

export function smallerLimit(limit: number): number {
  return LIMITS.find((smaller) => smaller < limit) ?? LIMIT_MIN;
}
