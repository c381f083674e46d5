import type { AccountCommit } from '../domain/change.ts';
import type { Lsn } from '../domain/lsn.ts';
import { backoffMs, sleep } from '../platform/backoff.ts';
import type { ControlStore, Mandate } from '../platform/cache/control.ts';
import type { CacheWriter } from '../platform/cache/writer.ts';
import type { Log } from '../platform/log.ts';
import type { Acker } from './acker.ts';
import { commitsOf, sharesOf } from './apply.ts';
import type { Heartbeat } from './logical-message.ts';
import { isWorthRetrying } from './retry.ts';
import type { UnsafeSeams } from './seams.ts';
import type { DecodedTransaction } from './transaction-builder.ts';
import type { Batch, TransactionQueue } from './transaction-queue.ts';
import type { VisibilityGate } from './visibility-gate.ts';

/** Retries while Redis is away: for ever, in order, because there is nothing else to do with a commit. */
const REDIS_RETRY = { minMs: 50, maxMs: 1_000 };

export type PipelineOptions = {
  readonly queue: TransactionQueue;
  readonly gate: VisibilityGate;
  readonly control: ControlStore;
  readonly writer: CacheWriter;
  readonly mandate: Mandate;
  readonly acker: Acker;
  /** Hands over to the feed what has been applied: synchronous, in commit order. */
  readonly deliver: (commits: readonly AccountCommit[], position: Lsn) => void;
  /** False for a heartbeat that somebody else wrote: it says nothing. */
  readonly ownsHeartbeat: (heartbeat: Heartbeat) => boolean;
  /** A heartbeat of ours has come all the way. */
  readonly onHeartbeat: (heartbeat: Heartbeat, position: Lsn) => Promise<void>;
  /** Tells Postgres what the acker holds. */
  readonly sendStatus: () => void;
  /** Every account that could hold something of a truncated table. */
  readonly everyone: () => Promise<readonly number[]>;
  readonly log: Log;
  readonly seams: UnsafeSeams;
};

/** What the pipeline is at, for health and for the watchdog. */
export type PipelineState = {
  stage: 'idle' | 'gate' | 'apply' | 'deliver';
  /** Acknowledged in this attempt. */
  position: Lsn | undefined;
};

/**
 * The spine of the replicator: decode → gate → apply → deliver → acknowledge. Decoding happens when the socket brings
 * something and has filled the queue meanwhile; everything after it happens here, batch by batch, in this order:
 *
 * - the gate comes first, or a reader puts the old row back behind us;
 * - Redis comes before the sockets, so that whoever refetches because of an event reads the new state;
 * - Postgres is told last, so that a crash anywhere brings the batch again, and every step may be repeated.
 *
 * Runs until the signal. @throws ClarinError: leadership_lost and epoch_lost end the mandate, others the attempt.
 */
export async function runPipeline(
  options: PipelineOptions,
  state: PipelineState,
  signal: AbortSignal,
): Promise<never> {
  const { at } = options.seams;
  for (;;) {
    state.stage = 'idle';
    const batch = await options.queue.take(signal);
    at?.('decoded');

    state.stage = 'gate';
    if (options.seams.gate !== 'off') {
      await options.gate.pass(
        batch.transactions.map((transaction) => transaction.xid),
        signal,
      );
    }
    at?.('visible');

    state.stage = 'apply';
    const commits = await applyBatch(options, batch, signal);
    at?.('applied');

    state.stage = 'deliver';
    options.deliver(commits, batch.position);
    at?.('delivered');
    await returnHeartbeats(options, batch);
    at?.('returned');

    options.acker.confirm(batch.position);
    options.sendStatus();
    at?.('acknowledged');
    state.position = batch.position;
  }
}

/** Repeats until Redis has taken the whole batch and its position. */
async function applyBatch(
  options: PipelineOptions,
  batch: Batch,
  signal: AbortSignal,
): Promise<AccountCommit[]> {
  const { writer, control, mandate, log, seams } = options;
  for (let attempt = 0; ; attempt++) {
    try {
      const commits = await commitsOf(batch.transactions, options.everyone);
      if (commits.length > 0) await writer.apply({ ...mandate, shares: sharesOf(commits) });
      seams.at?.('written');
      await control.advance({ ...mandate, position: batch.position });
      if (attempt > 0) log.info({ attempt }, 'the cache takes changes again');
      return commits;
    } catch (error) {
      if (!isWorthRetrying(error)) throw error;
      if (attempt === 0) log.warn({ error }, 'the cache does not take changes; waiting for it');
      await sleep(backoffMs(attempt, REDIS_RETRY), signal);
    }
  }
}

/** Only the newest counts: it vouches for everything before it. */
async function returnHeartbeats(
  options: PipelineOptions,
  { transactions, position }: Batch,
): Promise<void> {
  const last = newestHeartbeat(transactions, options.ownsHeartbeat);
  if (last) await options.onHeartbeat(last, position);
}

function newestHeartbeat(
  transactions: readonly DecodedTransaction[],
  isOurs: (heartbeat: Heartbeat) => boolean,
): Heartbeat | undefined {
  for (let i = transactions.length - 1; i >= 0; i--) {
    const heartbeat = transactions[i]?.heartbeat;
    if (heartbeat && isOurs(heartbeat)) return heartbeat;
  }
  return undefined;
}
