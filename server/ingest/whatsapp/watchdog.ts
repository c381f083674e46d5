import type { Clock } from '../clock.ts';

export type Watchdog = {
  /** All is well: it no longer watches. */
  calm(): void;
  /** It watches from now on. */
  watch(): void;
};

/** Calls `onLate` when it was not calmed within `ms`. Ends with the signal. */
export function createWatchdog(
  clock: Clock,
  { ms, signal, onLate }: { ms: number; signal: AbortSignal; onLate: () => void },
): Watchdog {
  let watching: AbortController | undefined;
  const calm = (): void => {
    watching?.abort();
    watching = undefined;
  };
  signal.addEventListener('abort', calm, { once: true });
  return {
    calm,
    watch: () => {
      calm();
      if (signal.aborted) return;
      const own = (watching = new AbortController());
      clock.sleep(ms, own.signal).then(onLate, () => undefined);
    },
  };
}
