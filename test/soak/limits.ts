/** A time that was taken, and the most that is promised on a machine that does nothing else. */
export type Taken = {
  readonly what: string;
  readonly ms: number;
  readonly mostMs: number;
  /** The part of `mostMs` that is waited by the clock, and is not longer on a slower machine. */
  readonly waitMs: number;
};

/** In words, what took longer than it may on a machine that is slower by `factor`; undefined when nothing did. */
export function whatWasLate(taken: readonly Taken[], factor: number): string | undefined {
  const late = taken.filter(({ ms, mostMs, waitMs }) => ms > waitMs + (mostMs - waitMs) * factor);
  if (late.length === 0) return undefined;
  return late
    .map(
      ({ what, ms, mostMs }) =>
        `${what} took ${Math.round(ms)} ms, at most ${mostMs} are promised (machine slower by ${factor.toFixed(1)})`,
    )
    .join('; ');
}
