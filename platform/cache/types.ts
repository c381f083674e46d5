import type { AccountCommit } from '../../domain/change.ts';
import type { Lsn } from '../../domain/lsn.ts';

/** What an epoch is bound to: when any of it changes, the past can no longer be vouched for. */
export type EpochIdentity = {
  readonly systemId: string;
  readonly timeline: number;
  readonly slot: string;
  /** Digest of the published tables and columns. */
  readonly publication: string;
};

/** Everything before `base` was over when the epoch began; its cache and logs know only what came after. */
export type Epoch = { readonly id: string; readonly base: Lsn };

/** The state kept in Redis between leaders. */
export type ControlState = EpochIdentity & {
  readonly epoch: Epoch;
  readonly term: number;
  readonly runId: string;
  /** Everything that ends at or before it is applied. A slot confirmed beyond it has skipped commits. */
  readonly position: Lsn;
};

/** A family to drop whole, or entries of it to delete: more than a few hundred are better dropped with their family. */
export type Invalidation = { readonly family: string; readonly ids: readonly string[] | 'all' };

/** One account's share of a batch: whole transactions, in commit order. */
export type AccountShare = {
  readonly accountId: number;
  readonly commits: readonly AccountCommit[];
  readonly invalidations: readonly Invalidation[];
};
