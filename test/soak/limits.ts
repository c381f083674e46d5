/** A time that was taken, and the most that is promised on a machine that does nothing else. In ms. */
export type Taken = { readonly what: string; readonly ms: number; readonly mostMs: number };

/** In words, what took longer than `factor` times its limit; undefined when nothing did. */
export function whatWasLate(taken: readonly Taken[], factor: number): string | undefined {
  const late = taken.filter(({ ms, mostMs }) => ms > mostMs * factor);
  if (late.length === 0) return undefined;
  return late
    .map(
      ({ what, ms, mostMs }) =>
        `${what} took ${Math.round(ms)} ms, at most ${mostMs} are promised (machine slower by ${factor.toFixed(1)})`,
    )
    .join('; ');
}
