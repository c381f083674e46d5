import { backoffMs } from '../../../platform/backoff.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import { createBell } from '../bell.ts';
import { LeaseLost } from '../write-in-lease.ts';
import type { DeviceContext } from './device-context.ts';
import { isPassing } from './is-passing.ts';

type Options<T> = {
  readonly context: DeviceContext;
  /** What is collected, for the log. */
  readonly what: string;
  /** From the first one on, how long others are waited for. */
  readonly delayMs: number;
  /** Waiting at most; the oldest are dropped, and it is said. */
  readonly max: number;
  /** Written by one call. */
  readonly batch: number;
  readonly write: (items: readonly T[]) => Promise<void>;
};

export type Collector<T> = Running & { add(items: readonly T[]): void };

const PAUSE = { minMs: 250, maxMs: 15_000 };

/**
 * What comes one by one is written together. When the database is away it waits, up to a bound; what fails for another
 * reason is dropped and said: nothing of it may hold up the rest. Stopped, it writes what is left once.
 */
export function createCollector<T>(options: Options<T>): Collector<T> {
  const { context, what, delayMs, max, batch } = options;
  const stopping = new AbortController();
  const signal = AbortSignal.any([context.signal, stopping.signal]);
  const bell = createBell(context.clock);
  let waiting: T[] = [];
  const keepNewest = (): void => {
    if (waiting.length <= max) return;
    context.log.warn({ dropped: waiting.length - max }, `too many ${what}`);
    waiting = waiting.slice(-max);
  };
  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      // Out of what waits: while they are written, others come, and those that are too many go from the front.
      const items = waiting.slice(0, batch);
      waiting = waiting.slice(items.length);
      try {
        await options.write(items);
      } catch (error) {
        if (error instanceof LeaseLost || context.signal.aborted || isPassing(error)) {
          waiting = [...items, ...waiting];
          keepNewest();
          throw error;
        }
        context.log.warn({ error, count: items.length }, `${what} could not be written`);
      }
    }
  };
  const run = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted;) {
      try {
        await bell.wait(Number.MAX_SAFE_INTEGER, signal);
        await context.clock.sleep(delayMs, signal);
        await flush();
        failures = 0;
      } catch (error) {
        if (signal.aborted || error instanceof LeaseLost) return;
        context.log.warn({ error }, `${what} wait`);
        const pauseMs = backoffMs(failures++, PAUSE) * (0.5 + context.clock.random());
        await context.clock.sleep(pauseMs, signal).catch(() => undefined);
        bell.ring();
      }
    }
  };
  const done = run();
  return {
    add: (items) => {
      if (items.length === 0) return;
      waiting = [...waiting, ...items];
      keepNewest();
      bell.ring();
    },
    stop: async () => {
      stopping.abort();
      await done;
      if (context.signal.aborted) return;
      await flush().catch((error: unknown) => {
        context.log.warn({ error, count: waiting.length }, `${what} were not written`);
      });
    },
  };
}
