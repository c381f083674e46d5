import { backoffMs } from '../../../platform/backoff.ts';
import type { Clock } from '../clock.ts';

export type PaceOptions = {
  /** Between two messages of a device, at least, and at random so much more: nobody writes like a clock. */
  readonly gapMs: number;
  readonly jitterMs: number;
};

export const PACE: PaceOptions = { gapMs: 1_000, jitterMs: 1_000 };

/** After WhatsApp said that it is too much, and twice as long when it says so again. */
const PAUSE = { minMs: 60_000, maxMs: 30 * 60_000 };

/** When a device may send its next message. */
export class Pace {
  readonly #clock: Clock;
  readonly #options: PaceOptions;
  #nextAt = 0;
  #pauses = 0;

  constructor(clock: Clock, options: PaceOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** @throws the signal's reason. */
  async wait(signal: AbortSignal): Promise<void> {
    // Not once: it may be paused meanwhile.
    for (;;) {
      signal.throwIfAborted();
      const waitMs = this.#nextAt - this.#clock.elapsed();
      if (waitMs <= 0) return;
      await this.#clock.sleep(waitMs, signal);
    }
  }

  /** One left. */
  spend(): void {
    const { gapMs, jitterMs } = this.#options;
    this.#delay(gapMs + jitterMs * this.#clock.random());
  }

  /** WhatsApp took one. */
  succeed(): void {
    this.#pauses = 0;
  }

  /** Gives for how long. */
  pause(): number {
    const pausedMs = backoffMs(this.#pauses, PAUSE);
    this.#pauses += 1;
    this.#delay(pausedMs);
    return pausedMs;
  }

  #delay(ms: number): void {
    this.#nextAt = Math.max(this.#nextAt, this.#clock.elapsed() + ms);
  }
}
