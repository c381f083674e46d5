import { LSN_ZERO, maxLsn, toLsn, type Lsn } from '../domain/lsn.ts';
import type { UnsafeSeams } from './seams.ts';

/**
 * What Postgres may be told: it moves when a position has been applied to Redis and written down there, never before
 * and never further. Told 0/0, Postgres keeps what it knows.
 */
export class Acker {
  readonly #seams: UnsafeSeams;
  #confirmed: Lsn = LSN_ZERO;

  constructor(seams: UnsafeSeams = {}) {
    this.#seams = seams;
  }

  /** Everything that ends at or before `position` is applied. Never goes back. */
  confirm(position: Lsn): void {
    const exact = this.#seams.exactAck === 'off' ? toLsn(position + 1n) : position;
    this.#confirmed = maxLsn(this.#confirmed, exact);
  }

  get confirmed(): Lsn {
    return this.#confirmed;
  }
}
