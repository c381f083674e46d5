import { ClarinError } from '../domain/errors.ts';

/** Pure: what waiting can mend. */
export function isWorthRetrying(error: unknown): boolean {
  return error instanceof ClarinError && (error.code === 'unavailable' || error.code === 'timeout');
}

/** Pure: what neither waiting nor another attempt mends: a person must act, or only a new process helps. */
export function isFatal(error: unknown): boolean {
  return error instanceof ClarinError && FATAL.includes(error.code);
}

const FATAL: readonly string[] = ['replication_drift', 'configuration', 'replication_stuck'];

/** Pure: another leader has a newer term. */
export function isLeadershipLost(error: unknown): boolean {
  return error instanceof ClarinError && error.code === 'leadership_lost';
}
