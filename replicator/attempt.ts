import { ClarinError } from '../domain/errors.ts';
import type { Lsn } from '../domain/lsn.ts';
import type { ControlStore, Mandate } from '../platform/cache/control.ts';
import type { CacheWriter } from '../platform/cache/writer.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Queries } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';
import { Acker } from './acker.ts';
import { Decoder } from './decode.ts';
import type { Hub } from './feed/hub.ts';
import { HeartbeatLoop } from './heartbeat.ts';
import { readWalSenderTimeoutMs } from './lag.ts';
import { runPipeline, type PipelineState } from './pipeline.ts';
import type { UnsafeSeams } from './seams.ts';
import { assertNothingSkipped } from './prepare.ts';
import { computeTimings } from './standby-status.ts';
import { openStream, type ReplicationStream } from './stream.ts';
import { TransactionQueue } from './transaction-queue.ts';
import type { VisibilityGate } from './visibility-gate.ts';
import { watchStream } from './watchdog.ts';

export type AttemptContext = {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  /** Digest of the publication that the epoch stands for. */
  readonly published: string;
  /** Everything that ends at or before it is applied; the slot may not have gone further. */
  readonly position: Lsn;
  readonly db: Queries;
  readonly control: ControlStore;
  readonly writer: CacheWriter;
  readonly gate: VisibilityGate;
  readonly hub: Hub;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly seams: UnsafeSeams;
};

/** What is running, for health. */
export type AttemptView = { readonly heartbeat: HeartbeatLoop; readonly pipeline: PipelineState };

type Parts = {
  readonly stream: ReplicationStream;
  readonly queue: TransactionQueue;
  readonly acker: Acker;
  readonly heartbeat: HeartbeatLoop;
};

/**
 * One stream from its start to its end, and everything that lives exactly as long: decoder, queue, pipeline, heartbeat,
 * watchdog. Whatever ends first ends all of it; the next attempt has new ones, and the slot knows where to begin.
 * @throws what ended it: the signal's reason, or a ClarinError.
 */
export async function runAttempt(
  context: AttemptContext,
  mandate: Mandate,
  onView: (view: AttemptView) => void,
  signal: AbortSignal,
): Promise<never> {
  const timings = computeTimings(await readWalSenderTimeoutMs(context.db));
  await context.seams.beforeStream?.();
  const ending = new AbortController();
  const bounded = AbortSignal.any([signal, ending.signal]);
  const heartbeat = new HeartbeatLoop({ ...context, mandate });
  const pipeline: PipelineState = { stage: 'idle', position: undefined };
  const parts = { ...connectStream(context, timings.statusIntervalMs), heartbeat };
  const { stream, queue } = parts;
  stream.started.then(
    () => context.log.info({ slot: context.slot, term: mandate.term }, 'streaming'),
    () => undefined,
  );
  onView({ heartbeat, pipeline });
  const readVitals = () => ({
    nowMs: performance.now(),
    emittedAtMs: heartbeat.emittedAtMs,
    returnedSentMs: heartbeat.returnedSentMs,
    lastReceivedAtMs: stream.lastReceivedAtMs,
    hasBacklog: pipeline.stage !== 'idle' || !queue.isEmpty,
    stuckAfterMs: timings.stuckAfterMs,
  });
  const tasks = [
    stream.ended.then(() =>
      Promise.reject(new ClarinError('unavailable', 'the stream was stopped')),
    ),
    beginPipeline(context, stream.started, bounded).then(() =>
      runPipeline(pipelineOptions(context, mandate, parts), pipeline, bounded),
    ),
    heartbeat.run(bounded),
    watchStream(readVitals, bounded),
    aborted(bounded),
  ];
  try {
    return await Promise.race(tasks);
  } finally {
    ending.abort();
    await stream.stop();
    await Promise.allSettled(tasks);
  }
}

/** What the slot brings meanwhile waits in the queue. */
async function beginPipeline(
  context: AttemptContext,
  started: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await Promise.race([started, aborted(signal)]);
  if (context.seams.slotCheck !== 'off') await assertNothingSkipped(context, context.position);
}

function connectStream(
  context: AttemptContext,
  statusIntervalMs: number,
): Omit<Parts, 'heartbeat'> {
  const { url, slot, publication, metrics, log, seams } = context;
  const acker = new Acker(seams);
  const decoder = new Decoder({ metrics });
  // The queue and the stream hold each other: one fills, the other is paused by it.
  const queue = new TransactionQueue({
    onFull: () => stream.pause(),
    onDrained: () => stream.resume(),
  });
  const stream = openStream({
    url,
    slot,
    publication,
    statusIntervalMs,
    log,
    confirmed: () => acker.confirmed,
    onFrame: (frame) => {
      const transaction = decoder.push(frame);
      if (!transaction) return;
      queue.push(transaction);
      if (seams.honestAck === 'off') {
        acker.confirm(transaction.endLsn);
        stream.sendStatus();
      }
    },
    onKeepalive: (lsn) => {
      if (!decoder.isInTransaction) queue.keepalive(lsn);
    },
  });
  return { stream, queue, acker };
}

function pipelineOptions(
  context: AttemptContext,
  mandate: Mandate,
  parts: Parts,
): Parameters<typeof runPipeline>[0] {
  const { hub, control, writer, gate, log, seams } = context;
  const { stream, queue, acker, heartbeat } = parts;
  return {
    queue,
    gate,
    control,
    writer,
    mandate,
    acker,
    log,
    seams,
    deliver: (commits, position) => hub.deliver(commits, position),
    ownsHeartbeat: (returned) => heartbeat.owns(returned),
    onHeartbeat: async (returned, position) => {
      await heartbeat.returned(returned);
      hub.heartbeat(position);
    },
    sendStatus: () => stream.sendStatus(),
    everyone: async () => {
      // Those of Redis and of the feed may be gone from the table; of the others somebody may hold a cursor.
      const rows = await context.db.query(sql`select id from public.accounts`);
      const listed = await control.readAccounts(mandate.epoch);
      return [...new Set([...rows.map((row) => Number(row['id'])), ...listed, ...hub.accounts()])];
    },
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
