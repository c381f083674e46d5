import { backoffMs } from '../../../platform/backoff.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import {
  postponeOutgoing,
  settleOutgoing,
  type Postponed,
  type SendEnd,
} from '../../commands/settle-outgoing.ts';
import { createBell } from '../bell.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { write, type DeviceContext } from './device-context.ts';

/** What became of a message: it is over, or is to be claimed again. */
export type Outcome = SendEnd | (Postponed & { readonly kind: 'postponed' });

const RETRY = { minMs: 500, maxMs: 15_000 };
const WAIT_MS = 60_000;

/**
 * Writes what became of messages, those of an instant by one transaction. What could not be written is kept until it
 * can: at most a message of each chat waits here. What is still here when it ends is found again by its note.
 */
export class Settler implements Running {
  readonly #context: DeviceContext;
  readonly #onSettled: () => void;
  readonly #stopping = new AbortController();
  readonly #bell;
  readonly #done: Promise<void>;
  #outcomes: Outcome[] = [];

  /** `onSettled`: those behind a message may go. */
  constructor(context: DeviceContext, onSettled: () => void) {
    this.#context = context;
    this.#onSettled = onSettled;
    this.#bell = createBell(context.clock);
    this.#done = this.#run();
  }

  add(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    this.#bell.ring();
  }

  /** Ids that something is still to be written of. */
  ids(): number[] {
    return this.#outcomes.map(({ id }) => id);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#context;
    const { signal } = this.#stopping;
    let failures = 0;
    for (;;) {
      try {
        await this.#flush();
        failures = 0;
        if (signal.aborted) return;
        await this.#bell.wait(WAIT_MS, signal);
      } catch (error) {
        if (error instanceof LeaseLost || this.#context.signal.aborted) return;
        // One last look at what came in meanwhile, but no more than one.
        if (signal.aborted && failures > 0) return;
        if (!signal.aborted) {
          log.warn({ error }, 'what became of messages could not be written');
          const delayMs = backoffMs(failures, RETRY) * (0.5 + clock.random());
          await clock.sleep(delayMs, signal).catch(() => undefined);
        }
        failures += 1;
      }
    }
  }

  async #flush(): Promise<void> {
    const batch = [...this.#outcomes];
    if (batch.length === 0) return;
    await write(this.#context, async (tx) => {
      const ends = batch.filter((outcome) => outcome.kind !== 'postponed');
      if (ends.length > 0) await settleOutgoing(tx, this.#context, ends);
      for (const outcome of batch)
        if (outcome.kind === 'postponed') await postponeOutgoing(tx, this.#context, outcome);
    });
    this.#outcomes = this.#outcomes.slice(batch.length);
    this.#onSettled();
  }
}
