import { ClarinError } from '../../domain/errors.ts';
import { backoffMs } from '../../platform/backoff.ts';
import type { Database, Origin, Queries } from '../../platform/postgres.ts';
import { holdLease, type Lease } from '../commands/lease-work.ts';
import type { Clock } from './clock.ts';

/** Somebody else has the lease: nothing was written, and nothing may be. */
export class LeaseLost extends Error {
  constructor(resource: string) {
    super(`the lease of ${resource} is with somebody else`);
    this.name = 'LeaseLost';
  }
}

type Means = {
  readonly database: Database;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Undefined: nothing that is published is written. */
  readonly source: Origin['source'] | undefined;
};

/** Other writers in the same rows: after some tries they are through. */
const ATTEMPTS_MAX = 5;
const RETRY = { minMs: 50, maxMs: 2_000 };

/**
 * One transaction, refused when the lease is not ours any more. Tried again when it ran into another one.
 * @throws LeaseLost, ClarinError, the signal's reason.
 */
export async function writeInLease<T>(
  { database, lease, clock, signal, source }: Means,
  work: (tx: Queries) => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      const { value: outcome } = await database.transaction(
        async (tx) =>
          (await holdLease(tx, lease, source && { source })) === 'held'
            ? { value: await work(tx) }
            : undefined,
        { signal, wantsLsn: false },
      );
      if (outcome) return outcome.value;
    } catch (error) {
      if (signal.aborted || attempt + 1 >= ATTEMPTS_MAX || !isCollision(error)) throw error;
      await clock.sleep(backoffMs(attempt, RETRY) * (0.5 + clock.random()), signal);
      continue;
    }
    throw new LeaseLost(lease.resource);
  }
}

/** A deadlock, a lock that was waited for too long, somebody who was quicker with the same row. */
function isCollision(error: unknown): boolean {
  return error instanceof ClarinError && (error.code === 'timeout' || error.code === 'conflict');
}
