import { ClarinError } from '../domain/errors.ts';
import { sleep } from '../platform/backoff.ts';

/** What the watchdog looks at. Times are of the monotonic clock: one that is put back or forward hides no silence and makes none. */
export type StreamVitals = {
  readonly nowMs: number;
  /** When the newest heartbeat was begun, whether it went out or not; undefined before the first. */
  readonly emittedAtMs: number | undefined;
  /** When the newest one that came back had been sent. */
  readonly returnedSentMs: number | undefined;
  /** Last time anything came from the walsender, its keepalives included. */
  readonly lastReceivedAtMs: number;
  /** Something decoded is being worked on or waits: for Redis, for visibility, for its turn. */
  readonly hasBacklog: boolean;
  readonly stuckAfterMs: number;
};

/**
 * Pure: true when the stream is wedged, so that only a new process helps (half-open connections, a walsender that
 * hangs). A catch-up is none, however long: bytes arrive. Nor is waiting for Redis or for visibility: restarting
 * would not end it. Nor a Postgres that takes no heartbeats and still answers on the stream.
 */
export function isStuck(vitals: StreamVitals): boolean {
  const { nowMs, emittedAtMs, returnedSentMs, lastReceivedAtMs, hasBacklog, stuckAfterMs } = vitals;
  if (hasBacklog || emittedAtMs === undefined) return false;
  const isOutstanding = returnedSentMs === undefined || returnedSentMs < emittedAtMs;
  const isSilent = nowMs - lastReceivedAtMs > stuckAfterMs;
  return isOutstanding && isSilent;
}

const LOOK_EVERY_MS = 1_000;

/** @throws ClarinError `replication_stuck`, or the signal's reason. */
export async function watchStream(read: () => StreamVitals, signal: AbortSignal): Promise<never> {
  for (;;) {
    await sleep(LOOK_EVERY_MS, signal);
    const vitals = read();
    if (isStuck(vitals)) {
      const seconds = Math.round((vitals.nowMs - vitals.lastReceivedAtMs) / 1_000);
      throw new ClarinError(
        'replication_stuck',
        `nothing has come through the WAL for ${seconds} s`,
      );
    }
  }
}
