import { ClarinError } from '../../../domain/errors.ts';
import { backoffMs } from '../../../platform/backoff.ts';
import type { Clock } from '../clock.ts';

/** Three seconds, and what the connections take. */
const ATTEMPTS_MAX = 5;
const RETRY = { minMs: 200, maxMs: 2_000 };

type Means = {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Somebody waits for the end: what fails now is not tried again. */
  readonly isEnding: () => boolean;
};

/**
 * Tries again while the database is away, within bounds. What `work` writes may be written twice: an answer that was
 * lost on its way looks the same as none. @throws what the last attempt failed with; the signal's reason.
 */
export async function outlastOutage<T>(
  work: () => Promise<T>,
  { clock, signal, isEnding }: Means,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const mayPass = error instanceof ClarinError && error.code === 'unavailable';
      if (!mayPass || attempt + 1 >= ATTEMPTS_MAX || isEnding()) throw error;
      await clock.sleep(backoffMs(attempt, RETRY) * (0.5 + clock.random()), signal);
    }
  }
}
