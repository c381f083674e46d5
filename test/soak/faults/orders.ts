import type { Point } from '../../../replicator/seams.ts';

/**
 * What a process of a soak can be told by the channel of its start (`running.send`). The program itself knows of none of it.
 */
export type Order =
  /** When a replicator's pipeline comes to `point` for the nth time from now it dies there, or stands still (SIGCONT wakes it). */
  | {
      readonly order: 'at point';
      readonly point: Point;
      readonly nth: number;
      readonly does: 'crash' | 'stop';
    }
  /** Its wall clock is wrong by so much; 0 puts it right. A monotonic clock does not jump, and this leaves it alone. */
  | { readonly order: 'clock'; readonly shiftMs: number };

/** The line in a process' log that says that an order was carried out, with `point` or `shiftMs`. */
export const CARRIED_OUT = 'soak: order carried out';
