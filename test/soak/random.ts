import type { Random } from './faults/fault.ts';

/** Seeded, so that a failure's choices can be made again; who runs beside whom is not in its hand. */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
}
