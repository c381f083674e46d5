import { SLOW_CLOSE_LINGER_MS, type ConnectionLimits } from './limits.ts';

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
  readonly #byAddress = new Map<string, number>();
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
    if ((this.#byAddress.get(address) ?? 0) >= this.#limits.perAddress) {
      return { status: '429 Too Many Requests', says: 'too many connections from this address' };
    }
    return undefined;
  }

  enter(address: string): Place {
    this.#total++;
    this.#strangers++;
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1);
    let isStranger = true;
    let isHere = true;
    const authenticated = (): void => {
      if (isStranger) this.#strangers--;
      isStranger = false;
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
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, left);
  }
}
