import type { KommoError } from '../../kommo/errors.ts';
import type { PassName } from './cadence.ts';

/** What people see of a connection; `untilMs`, Unix ms: when it goes on by itself. */
export type ConnectionState = {
  readonly status: 'connected' | 'paused' | 'needs_reauth' | 'rate_limited' | 'blocked' | 'error';
  /** A sentence a person understands. */
  readonly reason: string | undefined;
  readonly untilMs: number | undefined;
};

export type FailedPass = PassName | 'hints' | 'sweep' | 'everything';

export type Failures = {
  /** Of any kind, without one success in between, this one included. */
  readonly inARow: number;
  /** Since the first of them, ms. */
  readonly sinceMs: number;
  readonly notFoundInARow: number;
};

export type Judgement = {
  /** Undefined: nothing that people need to know of (yet). */
  readonly state: ConnectionState | undefined;
  /** Until it is tried again; undefined: when somebody has connected it anew, and not before. */
  readonly waitMs: number | undefined;
  /** Only this pass rests; the others go on. */
  readonly isOfPass: boolean;
};

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = MINUTE_MS;
/** So long Kommo may not answer before people are told. */
const SILENT_MS = 5 * MINUTE_MS;
const NOT_FOUND_MAX = 3;
/** What only helps when somebody has done something, over there or in the code. */
const RIGHTS_RETRY_MS = 10 * MINUTE_MS;
/** Without these passes the others make up for it, slower: the sweep and the nightly reading. */
const OPTIONAL: readonly FailedPass[] = ['events', 'deleted', 'hints'];

/**
 * What becomes of a connection whose pass has failed. `random`: from 0 to less than 1, so that not all who were cut off
 * at once come back at once.
 */
export function judgeFailure(
  { kind, message, untilMs }: Pick<KommoError, 'kind' | 'message' | 'untilMs'>,
  pass: FailedPass,
  { failures, nowMs, random }: { failures: Failures; nowMs: number; random: number },
): Judgement {
  const backoff = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures.inARow, 16));
  const retry = RETRY_MIN_MS + random * (backoff - RETRY_MIN_MS);
  const rest = (status: ConnectionState['status'], until: number): Judgement => ({
    state: { status, reason: message, untilMs: until },
    // `until` is by the database's clock: ours may say that it is over.
    waitMs: Math.max(RETRY_MIN_MS, until - nowMs) + random * RETRY_MIN_MS,
    isOfPass: false,
  });
  const error = (waitMs: number, isOfPass = false): Judgement => ({
    state: { status: 'error', reason: message, untilMs: undefined },
    waitMs,
    isOfPass,
  });
  const soon: Judgement = { state: undefined, waitMs: retry, isOfPass: false };
  switch (kind) {
    case 'needs_reauth':
      return {
        state: { status: 'needs_reauth', reason: message, untilMs: undefined },
        waitMs: undefined,
        isOfPass: false,
      };
    case 'payment_required':
      return rest('paused', nowMs + HOUR_MS);
    case 'rate_limited':
      return rest('rate_limited', untilMs ?? nowMs + MINUTE_MS);
    case 'blocked':
      return rest('blocked', untilMs ?? nowMs + 15 * MINUTE_MS);
    case 'forbidden':
      if (OPTIONAL.includes(pass))
        return { state: undefined, waitMs: RIGHTS_RETRY_MS, isOfPass: true };
      return error(RIGHTS_RETRY_MS, true);
    case 'not_found':
      return failures.notFoundInARow < NOT_FOUND_MAX ? soon : error(HOUR_MS);
    case 'rejected':
      return error(RIGHTS_RETRY_MS, true);
    case 'unavailable':
    case 'malformed':
      return failures.sinceMs < SILENT_MS ? soon : error(retry);
  }
}

const DAY_MS = 24 * HOUR_MS;

/** What is said ahead of the end of a token that is not renewed, once for each step, so that it is written three times. */
const STEPS: readonly { days: number; says: string }[] = [
  { days: 1, says: 'in less than a day' },
  { days: 7, says: 'in less than 7 days' },
  { days: 30, says: 'in less than 30 days' },
];

/** Days ahead, 1, 7 or 30, and a sentence; undefined: there is time, or it renews itself. */
export function warnOfExpiry(
  { expiresAtMs, isRenewed }: { expiresAtMs: number | undefined; isRenewed: boolean },
  nowMs: number,
): { days: number; sentence: string } | undefined {
  if (expiresAtMs === undefined || isRenewed) return undefined;
  const step = STEPS.find(({ days }) => expiresAtMs - nowMs < days * DAY_MS);
  if (!step) return undefined;
  const day = new Date(expiresAtMs).toISOString().slice(0, 10);
  const sentence = `The token of this Kommo account ends on ${day}, ${step.says}. Make a new one there and connect it again.`;
  return { days: step.days, sentence };
}
