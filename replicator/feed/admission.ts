import { KNOCK_MS, SLOW_CLOSE_LINGER_MS, type ConnectionLimits } from './limits.ts';

export type Refusal = {
  readonly status: '429 Too Many Requests' | '503 Service Unavailable';
  readonly says: string;
};

/** A place in the limits. Both methods may be called again without harm. */
export type Place = {
  /** Hello has been answered: it is no stranger any more. */
  authenticated(): void;
  /** `isLingering`: its memory is not free yet, so the place is kept for a while. */
  leave(isLingering: boolean): void;
};

/** Counts sockets against the limits, in all, by address, and of those who have not said who they are. */
export class Admission {
  readonly #limits: ConnectionLimits;
  readonly #byAddress = new Counter();
  readonly #strangersByAddress = new Counter();
  /** Those of now, and those of the time before. */
  #knocks: [Counter, Counter] = [new Counter(), new Counter()];
  #knocksSinceMs = 0;
  readonly #lingering = new Set<NodeJS.Timeout>();
  #total = 0;
  #strangers = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Why one more from this address is refused; undefined when it is not. */
  refusal(address: string): Refusal | undefined {
    if (this.#total >= this.#limits.total || this.#strangers >= this.#limits.unauthenticated) {
      return { status: '503 Service Unavailable', says: 'this feed server is full' };
    }
    // No address takes all the room that there is for strangers.
    const isCrowd = this.#strangersByAddress.of(address) >= this.#limits.unauthenticated / 2;
    if (isCrowd || this.#byAddress.of(address) >= this.#limits.perAddress) {
      return { status: '429 Too Many Requests', says: 'too many connections from this address' };
    }
    return undefined;
  }

  /**
   * A connection that has not said yet what it wants. False when too many of this address have come to nothing lately: the
   * socket layer does not tell whose connection it is that ends, but ends it in time (KNOCK_MS).
   */
  knock(address: string, nowMs: number): boolean {
    const elapsedMs = nowMs - this.#knocksSinceMs;
    if (elapsedMs > KNOCK_MS) {
      this.#knocks = [new Counter(), elapsedMs > 2 * KNOCK_MS ? new Counter() : this.#knocks[0]];
      this.#knocksSinceMs = nowMs;
    }
    const [now, before] = this.#knocks;
    now.add(address, 1);
    return now.of(address) + before.of(address) <= this.#limits.perAddress;
  }

  /** It has become a socket. */
  knocked(address: string): void {
    const [now, before] = this.#knocks;
    (now.of(address) > 0 ? now : before).add(address, -1);
  }

  enter(address: string): Place {
    this.#total++;
    this.#strangers++;
    this.#byAddress.add(address, 1);
    this.#strangersByAddress.add(address, 1);
    let isStranger = true;
    let isHere = true;
    const authenticated = (): void => {
      if (!isStranger) return;
      isStranger = false;
      this.#strangers--;
      this.#strangersByAddress.add(address, -1);
    };
    return {
      authenticated,
      leave: (isLingering) => {
        if (!isHere) return;
        isHere = false;
        authenticated();
        if (!isLingering) return this.#leave(address);
        const timer = setTimeout(() => {
          this.#lingering.delete(timer);
          this.#leave(address);
        }, SLOW_CLOSE_LINGER_MS);
        timer.unref();
        this.#lingering.add(timer);
      },
    };
  }

  /** Forgets whoever lingers: nothing is left to fire. */
  stop(): void {
    for (const timer of this.#lingering) clearTimeout(timer);
    this.#lingering.clear();
  }

  #leave(address: string): void {
    this.#total--;
    this.#byAddress.add(address, -1);
  }
}

class Counter {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, change: 1 | -1): void {
    const count = this.of(name) + change;
    if (count <= 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
  }
}
