/** Where the fake has its time from. Milliseconds since 1970, never going back. */
export type Clock = {
  now(): number;
  /** Runs it once, so many milliseconds of this clock from now. Gives what calls it off. */
  after(delayMs: number, run: () => void): () => void;
};

/** A clock that stands until it is told to go. */
export type VirtualClock = Clock & {
  /** Goes on by so many milliseconds; on the way runs what falls due, each at its own moment, in order. */
  advance(ms: number): void;
};

const timer = (delayMs: number, run: () => void): (() => void) => {
  const handle = setTimeout(run, delayMs);
  // Nothing that waits here is a reason for a process to live on.
  handle.unref();
  return () => clearTimeout(handle);
};

let latest = 0;
/** The machine's time: what updated_at and the Date header tell. */
export const wallClock: Clock = {
  now: () => (latest = Math.max(latest, Date.now())),
  after: timer,
};

/** For spans, such as the limiter's second: nobody sets it. */
export const steadyClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  after: timer,
};

export function createVirtualClock(startMs: number): VirtualClock {
  let now = startMs;
  let count = 0;
  const waiting = new Map<number, { atMs: number; run: () => void }>();
  const nextBefore = (endMs: number): number | undefined => {
    let found: number | undefined;
    let foundMs = endMs;
    // A map keeps its order: of two at one moment the one that was asked for first runs first.
    for (const [id, { atMs }] of waiting) {
      if (atMs > foundMs || (found !== undefined && atMs === foundMs)) continue;
      found = id;
      foundMs = atMs;
    }
    return found;
  };
  return {
    now: () => now,
    after: (delayMs, run) => {
      const id = (count += 1);
      waiting.set(id, { atMs: now + Math.max(0, delayMs), run });
      return () => void waiting.delete(id);
    },
    advance: (ms) => {
      const endMs = now + Math.max(0, ms);
      for (let id = nextBefore(endMs); id !== undefined; id = nextBefore(endMs)) {
        const due = waiting.get(id);
        waiting.delete(id);
        if (due === undefined) continue;
        now = Math.max(now, due.atMs);
        due.run();
      }
      now = endMs;
    },
  };
}

export function isVirtual(clock: Clock): clock is VirtualClock {
  return 'advance' in clock;
}
