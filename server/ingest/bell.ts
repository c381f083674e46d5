import type { Clock } from './clock.ts';

/** What wakes a loop before its time. Rung while nobody waits, it is heard by the next who does. */
export type Bell = {
  ring(): void;
  /** Resolves when it rings, at the latest after `ms`. @throws the signal's reason as soon as it is aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
};

/** Timers cannot wait for ever, and take more than this for nothing. */
const WAIT_MS_MAX = 24 * 3_600_000;

export function createBell(clock: Pick<Clock, 'sleep'>): Bell {
  let isRung = false;
  let waking: AbortController | undefined;
  return {
    ring: () => {
      isRung = true;
      waking?.abort();
    },
    wait: async (ms, signal) => {
      signal.throwIfAborted();
      if (!isRung) {
        const own = (waking = new AbortController());
        const onAbort = (): void => own.abort();
        signal.addEventListener('abort', onAbort, { once: true });
        await clock
          .sleep(Math.min(Math.max(0, ms), WAIT_MS_MAX), own.signal)
          .catch(() => undefined);
        signal.removeEventListener('abort', onAbort);
        signal.throwIfAborted();
      }
      isRung = false;
    },
  };
}
