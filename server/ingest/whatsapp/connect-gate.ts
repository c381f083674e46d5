import type { Clock } from '../clock.ts';

type Options = {
  readonly clock: Clock;
  /** How long somebody waited for his turn. */
  readonly onEnter?: (waitedMs: number) => void;
};

/** A login is 50 ms of this process' only thread, and WhatsApp sees one address connect. */
const INTERVAL_MS = 250;
const IN_FLIGHT_MAX = 10;

type Waiting = { readonly admit: () => void };

/**
 * New connections of the process, one after the other: four in a second, and ten that are not logged in yet. Who comes
 * first is let in first.
 */
export class ConnectGate {
  readonly #options: Options;
  readonly #queue = new Set<Waiting>();
  #inFlight = 0;
  #nextAt = -Infinity;
  #isPumping = false;

  constructor(options: Options) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Resolves when it is our turn, with what has to be called once we are logged in or have given up. @throws the signal's reason. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const { clock, onEnter } = this.#options;
    const from = clock.elapsed();
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        admit: () => {
          signal.removeEventListener('abort', onAbort);
          this.#inFlight++;
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#queue.delete(waiting);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.add(waiting);
      this.#pump();
    });
    onEnter?.(clock.elapsed() - from);
    let isOut = false;
    return () => {
      if (isOut) return;
      isOut = true;
      this.#inFlight--;
      this.#pump();
    };
  }

  /** Lets in whoever may, and comes back when the next one may. */
  #pump(): void {
    if (this.#isPumping) return;
    const { clock } = this.#options;
    for (const waiting of this.#queue) {
      if (this.#inFlight >= IN_FLIGHT_MAX) return;
      const now = clock.elapsed();
      if (now < this.#nextAt) {
        this.#isPumping = true;
        const pause = clock.sleep(this.#nextAt - now, new AbortController().signal);
        void pause.finally(() => {
          this.#isPumping = false;
          this.#pump();
        });
        return;
      }
      this.#nextAt = now + INTERVAL_MS;
      this.#queue.delete(waiting);
      waiting.admit();
    }
  }
}
