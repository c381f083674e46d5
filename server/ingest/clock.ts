import { sleep } from '../../platform/backoff.ts';

/** Time and chance, given to whatever waits, paces itself or tries again: a test has its own. */
export type Clock = {
  /** Unix milliseconds; may jump. */
  now(): number;
  /** Milliseconds since some moment; never jumps. */
  elapsed(): number;
  /** @throws the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** From 0 to less than 1. */
  random(): number;
};

export const systemClock: Clock = {
  now: Date.now,
  elapsed: () => performance.now(),
  sleep,
  random: Math.random,
};
