import {
  accountKeys,
  controlKeys,
  LOG_BYTES_MAX,
  TOMBSTONE_SECONDS,
  type Keyspace,
} from '../../domain/cache-key.ts';
import { lsnToHex } from '../../domain/lsn.ts';
import type { Metrics } from '../metrics.ts';
import { assertAnswer, reachable, type Mandate } from './control.ts';
import { encodeCommit } from './log-entry.ts';
import { APPLY, runScript } from './scripts.ts';
import type { AccountShare, Invalidation } from './types.ts';
import type { RedisClient } from '../redis.ts';

/** A spread of as many as there may be accounts does not fit the stack. */
const LISTED_PER_CALL = 1_000;

type Options = { redis: RedisClient; space: Keyspace; metrics: Metrics; logBytesMax?: number };

/** The replicator's half of the cache: one script call per account and batch. */
export class CacheWriter {
  readonly #redis: RedisClient;
  readonly #space: Keyspace;
  readonly #metrics: Metrics;
  readonly #logBytesMax: number;
  /** Watermarks this leader left behind: anything else found there means that Redis lost something. */
  readonly #watermarks = new Map<number, string>();
  #epochId = '';

  constructor(options: Options) {
    this.#redis = options.redis;
    this.#space = options.space;
    this.#metrics = options.metrics;
    this.#logBytesMax = options.logBytesMax ?? LOG_BYTES_MAX;
  }

  /**
   * Applies the shares of a batch, each account's atomically and independently of the others. Repeating a call does
   * nothing, so a failure in the middle is mended by calling again. Signals go out with the newest commit, never twice.
   * @throws ClarinError leadership_lost, epoch_lost, unavailable.
   */
  async apply({
    term,
    epoch,
    shares,
  }: Mandate & { shares: readonly AccountShare[] }): Promise<void> {
    if (epoch.id !== this.#epochId) {
      this.#watermarks.clear();
      this.#epochId = epoch.id;
    }
    // Listed before anything is written, so that an epoch's end finds and drops every key.
    const unlisted = shares
      .map((share) => share.accountId)
      .filter((id) => !this.#watermarks.has(id));
    for (let at = 0; at < unlisted.length; at += LISTED_PER_CALL) {
      const round = unlisted.slice(at, at + LISTED_PER_CALL);
      await reachable(this.#redis.sadd(controlKeys(this.#space).accounts(epoch.id), ...round));
    }
    const outcomes = await Promise.allSettled(
      shares.map((share) => this.#applyShare(term, epoch, share)),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #applyShare(term: number, epoch: Mandate['epoch'], share: AccountShare): Promise<void> {
    const keys = accountKeys(this.#space, share.accountId, epoch.id);
    const expected = this.#watermarks.get(share.accountId) ?? '';
    const names = [keys.head, keys.log, keys.sizes, keys.channel];
    const args: (string | number)[] = [
      term,
      expected,
      lsnToHex(epoch.base),
      this.#logBytesMax,
      TOMBSTONE_SECONDS,
      share.commits.length,
    ];
    for (const commit of share.commits) {
      // A commit of signals alone raises the watermark and leaves nothing to resume from.
      const parts = commit.changes.length === 0 ? [] : encodeCommit(commit);
      args.push(lsnToHex(commit.lsn), String(commit.lsn), parts.length, ...parts);
      args.push(commit.signals.length, ...commit.signals);
    }
    for (const { family, ids } of share.invalidations) {
      names.push(keys.family(family), keys.tombstone(family));
      if (ids === 'all') args.push(-1);
      else args.push(ids.length, ...ids);
    }
    const answer = await reachable(runScript(this.#redis, APPLY, names, args));
    assertAnswer(answer);
    const [applied, watermark] = answer as [number, string];
    this.#watermarks.set(share.accountId, watermark);
    this.#metrics.replayed.inc(share.commits.length - applied);
    if (applied > 0)
      this.#metrics.invalidations.inc(
        share.invalidations.reduce((sum, one) => sum + sizeOf(one), 0),
      );
  }
}

function sizeOf(invalidation: Invalidation): number {
  return invalidation.ids === 'all' ? 1 : invalidation.ids.length;
}
