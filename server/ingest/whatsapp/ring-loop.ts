import { backoffMs } from '../../../platform/backoff.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import { createBell } from '../bell.ts';
import { LeaseLost } from '../write-in-lease.ts';
import type { DeviceContext } from './device-context.ts';

/** Between two rounds where nobody rings: the worker looks for all of its devices at once. */
export const LOOK_MS = 60_000;

type Options = {
  readonly context: DeviceContext;
  /** Ends it, as the context's does. */
  readonly signal?: AbortSignal;
  /** What has failed, for the log. */
  readonly says: string;
  /** How long it rests after something that will pass, doubled with each time in a row. */
  readonly fault: { readonly minMs: number; readonly maxMs: number };
  /** Gives how long there is nothing to do, at most; 0: there is more. What it throws will pass, but for a lost lease. */
  readonly round: (signal: AbortSignal) => Promise<number>;
};

/** Work for a device, round after round, when it is rung and now and then; it ends by itself with the lease (`done`). */
export function startRingLoop(
  options: Options,
): Running & { ring(): void; readonly done: Promise<void> } {
  const { context, says, fault, round } = options;
  const { clock, log } = context;
  const stopping = new AbortController();
  const signals = [context.signal, stopping.signal, ...(options.signal ? [options.signal] : [])];
  const signal = AbortSignal.any(signals);
  const bell = createBell(clock);
  const run = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted;) {
      try {
        const waitMs = await round(signal);
        failures = 0;
        if (waitMs > 0) await bell.wait(Math.min(waitMs, LOOK_MS), signal);
      } catch (error) {
        if (signal.aborted || error instanceof LeaseLost) return;
        log.warn({ error }, says);
        const restMs = backoffMs(failures++, fault) * (0.5 + clock.random());
        await clock.sleep(restMs, signal).catch(() => undefined);
      }
    }
  };
  const done = run();
  return {
    done,
    ring: () => bell.ring(),
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}
