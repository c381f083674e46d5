import { writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';

/** How long a reader that does not read may hold up the process. */
const WAIT_MS_MAX = 1_000;
const WAIT_MS = 5;
const NOTHING = Buffer.alloc(0);

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Standard output, each line written before the call returns, so that the last one of a process is there too. A reader
 * that does not keep up is waited for, a second at first and no longer while it stays so: then lines are lost, whole ones,
 * and the process goes on. Behind one that is gone nothing is written any more. `write` is write(2), for tests.
 *
 * Not pino's own: when the reader is gone its flush at the exit tries again for ever, and the process stays (hazard H21).
 */
export function standardOutput(
  write: (descriptor: 1, bytes: Uint8Array) => number = writeSync,
): DestinationStream {
  let isGone = false;
  let isStuck = false;
  /** The end of a line that was begun. */
  let begun: Buffer = NOTHING;
  /** What was not taken. */
  const put = (bytes: Buffer): Buffer => {
    const deadline = performance.now() + (isStuck ? 0 : WAIT_MS_MAX);
    let rest = bytes;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(write(1, rest));
      } catch (error) {
        isGone = (error as NodeJS.ErrnoException).code !== 'EAGAIN';
        if (isGone || performance.now() >= deadline) break;
        Atomics.wait(pause, 0, 0, WAIT_MS);
      }
    }
    isStuck = rest.length > 0;
    return rest;
  };
  return {
    write: (line) => {
      if (isGone) return;
      if (begun.length > 0) begun = put(begun);
      if (begun.length > 0) return;
      const bytes = Buffer.from(line);
      const rest = put(bytes);
      if (rest.length < bytes.length) begun = rest;
    },
  };
}
