import { setTimeout as wait } from 'node:timers/promises';

/** Resolves after `delayMs`. @throws the signal's reason as soon as it is aborted. */
export async function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await wait(delayMs, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}

/** Delay before the given attempt (0 is the first retry): doubling, between the bounds. */
export function backoffMs(attempt: number, bounds: { minMs: number; maxMs: number }): number {
  return Math.min(bounds.maxMs, bounds.minMs * 2 ** Math.min(attempt, 30));
}
