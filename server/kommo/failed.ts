import { judgeAnswer, type Answer, type Outcome } from './answer.ts';
import { cleanDetail, KommoError, sayFailure, type KommoFailure } from './errors.ts';
import type { KommoMeans } from './means.ts';

type Means = Pick<KommoMeans, 'limiter' | 'log'>;

type Sent = {
  /** Without the host, for the log. */
  readonly path: string;
  /** What was sent and must not come back in a text. */
  readonly secrets: readonly string[];
};

export type Judged =
  | Exclude<Outcome, { kind: 'failed' }>
  | { readonly kind: 'failed'; readonly error: KommoError };

/**
 * What an answer means. Where Kommo asks for rest, it is written down for every process before this returns, and what is a
 * fault of ours is logged. @throws ClarinError when that cannot be written.
 */
export async function judge(means: Means, answer: Answer, sent: Sent): Promise<Judged> {
  const outcome = judgeAnswer(answer);
  if (outcome.kind !== 'failed') return outcome;
  const { failure, pauseSeconds } = outcome;
  const detail =
    outcome.detail === undefined ? undefined : cleanDetail(outcome.detail, sent.secrets);
  const { status } = answer;
  const requestId = requestIdOf(answer, sent.secrets);
  const untilMs = await rest(means, failure, pauseSeconds);
  const error = new KommoError(failure, sayFailure(failure, detail), {
    untilMs,
    status,
    requestId,
  });
  const fields = { status, request: requestId, path: sent.path, detail, until_ms: untilMs };
  if (failure === 'rejected') means.log.error(fields, 'Kommo did not take a request of ours');
  if (failure === 'blocked') means.log.error(fields, 'Kommo has shut out our address');
  if (failure === 'rate_limited') means.log.warn(fields, 'Kommo asks for a pause');
  return { kind: 'failed', error };
}

/** The name that Kommo gives a request. */
export function requestIdOf(answer: Answer, secrets: readonly string[]): string | undefined {
  const given = answer.headers['x-request-id'];
  return given === undefined ? undefined : cleanDetail(given, secrets);
}

async function rest(
  { limiter }: Means,
  failure: KommoFailure,
  pauseSeconds: number | undefined,
): Promise<number | undefined> {
  if (failure === 'blocked') return limiter.shutOut();
  return pauseSeconds === undefined ? undefined : limiter.rest(pauseSeconds);
}
