import type { BoardMemory } from './reads-board.ts';

/** An entry of the cache, and the keys whose markers its body shows. Those in `comesAndGoes` exist in odd versions only. */
export type ReadEntry = {
  readonly accountId: number;
  readonly family: string;
  readonly field: string;
  readonly keys: readonly number[];
};

/** What a thread that reads is started with. */
export type ReadsOrder = {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly board: BoardMemory;
  readonly entries: readonly ReadEntry[];
  readonly comesAndGoes: ReadonlySet<number>;
  /** Two numbers: how many reads there were, and one that is not 0 when they shall end. */
  readonly progress: SharedArrayBuffer;
  /** A guard that its fills go without, to see that what it guards against is found. */
  readonly without?: 'tombstone' | undefined;
};

export type ReadCounts = {
  hits: number;
  misses: number;
  bypasses: number;
  /** Markers that were compared with what the watermark asks for, and of those how many must be of an exact commit. */
  markers: number;
  exact: number;
  slowFills: number;
};

export type ReadsReport =
  | { readonly kind: 'counts'; readonly counts: ReadCounts }
  | { readonly kind: 'stale'; readonly says: string }
  | { readonly kind: 'ended'; readonly counts: ReadCounts; readonly rejected: string };

export const READS_DONE = 0;
export const READS_END = 1;

/** How a row shows which version of which key it is: nothing else in a body looks like it. */
export function markerOf(key: number, version: number): string {
  return `k${key}v${version}e`;
}
export const MARKER = /k(\d+)v(\d+)e/g;
