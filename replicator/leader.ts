import type { Keyspace } from '../domain/cache-key.ts';
import { ClarinError } from '../domain/errors.ts';
import { backoffMs, sleep } from '../platform/backoff.ts';
import { CacheWriter } from '../platform/cache/writer.ts';
import { runAttempt, type AttemptContext, type AttemptView } from './attempt.ts';
import type { Standing } from './health.ts';
import { acquireLeadership, type Leadership } from './leadership.ts';
import { isPastUnreadable, prepareEpoch, type PrepareContext } from './prepare.ts';
import { isFatal, isLeadershipLost } from './retry.ts';
import type { RedisClient } from '../platform/redis.ts';

/** Between attempts, for ever: a replicator without Postgres or Redis waits for them, and health is red meanwhile. */
const ATTEMPT_RETRY = { minMs: 100, maxMs: 5_000 };
/** An attempt that streamed for this long was a good one: the next begins without delay. */
const GOOD_ATTEMPT_MS = 10_000;
const BEAT_EVERY_MS = 1_000;

export type LeaderContext = Omit<AttemptContext, 'writer' | 'published' | 'position'> &
  PrepareContext & {
    /** A connection of the writer's own: one large batch may take longer than anything else ever may. */
    readonly writerRedis: RedisClient;
    readonly space: Keyspace;
  };

/**
 * Standby and leader by turns until the signal: waits for the leadership, leads until it is lost, waits again. Nothing
 * else in the process knows which it is, but by `standing`.
 */
export class LeaderLoop {
  readonly #context: LeaderContext;
  #role: 'starting' | 'standby' | 'leader' = 'starting';
  #view: AttemptView | undefined;
  #trouble: string | undefined = 'starting';

  constructor(context: LeaderContext) {
    this.#context = context;
  }

  async standing(): Promise<Standing> {
    if (this.#role === 'starting') return { role: 'starting' };
    if (this.#role === 'standby') {
      return {
        role: 'standby',
        isLeaderAlive: await this.#context.control.isLeaderAlive().catch(() => false),
      };
    }
    return {
      role: 'leader',
      trouble: this.#trouble,
      heartbeatAgeMs: this.heartbeatAgeMs,
      stage: this.#view?.pipeline.stage ?? 'no stream',
    };
  }

  /** Undefined when no heartbeat has come back in this attempt. */
  get heartbeatAgeMs(): number | undefined {
    const sentMs = this.#view?.heartbeat.returnedSentMs;
    return sentMs === undefined ? undefined : performance.now() - sentMs;
  }

  /** @throws the signal's reason, or a ClarinError that ends the process. */
  async run(signal: AbortSignal): Promise<never> {
    const { log, hub, metrics } = this.#context;
    for (;;) {
      const onStandby = (): void => {
        this.#role = 'standby';
        log.info('standby: another replicator leads');
      };
      const leadership = await acquireLeadership({ ...this.#context, onStandby }, signal);
      try {
        await this.#lead(leadership, AbortSignal.any([signal, leadership.lost]));
      } catch (error) {
        signal.throwIfAborted();
        if (!isLeadershipLost(error)) throw error;
        log.warn({ error }, 'no longer leader');
      } finally {
        this.#role = 'standby';
        this.#view = undefined;
        metrics.isLeader.set(0);
        hub.stepDown();
        await leadership.release();
      }
    }
  }

  async #lead(leadership: Leadership, signal: AbortSignal): Promise<never> {
    const { metrics, log } = this.#context;
    this.#role = 'leader';
    const term = await this.#raiseTerm(signal);
    metrics.isLeader.set(1);
    metrics.term.set(term);
    metrics.takeovers.inc();
    log.info({ term }, 'leader');
    const ending = new AbortController();
    const bounded = AbortSignal.any([signal, ending.signal]);
    const tasks = [this.#beat(term, bounded), this.#attempts(term, bounded)];
    try {
      return await Promise.race(tasks);
    } finally {
      ending.abort();
      await Promise.allSettled(tasks);
      leadership.lost.throwIfAborted();
    }
  }

  /** Redis may be away; the lock is ours meanwhile. */
  async #raiseTerm(signal: AbortSignal): Promise<number> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#context.control.raiseTerm();
      } catch (error) {
        if (attempt === 0) this.#context.log.warn({ error }, 'the term cannot be raised yet');
        this.#trouble = describe(error);
        await sleep(backoffMs(attempt, ATTEMPT_RETRY), signal);
      }
    }
  }

  /** Says that this process runs, whatever its pipeline does. @throws ClarinError leadership_lost. */
  async #beat(term: number, signal: AbortSignal): Promise<never> {
    for (;;) {
      try {
        await this.#context.control.beat(term);
      } catch (error) {
        if (isLeadershipLost(error)) throw error;
      }
      await sleep(BEAT_EVERY_MS, signal);
    }
  }

  async #attempts(term: number, signal: AbortSignal): Promise<never> {
    const { log, metrics, hub, writerRedis, space, seams } = this.#context;
    const writer = new CacheWriter({ redis: writerRedis, space, metrics });
    let lostEpoch: string | undefined;
    let isUnreadable = false;
    let isRemade = false;
    for (let failures = 0; ; failures++) {
      const startedAtMs = performance.now();
      let epochId: string | undefined;
      try {
        const prepared = await prepareEpoch(
          this.#context,
          { term, lostEpoch, isUnreadable },
          signal,
        );
        isRemade = isUnreadable;
        const { epoch, position, published } = prepared;
        epochId = epoch.id;
        hub.openEpoch(epoch, position);
        this.#trouble = undefined;
        await runAttempt(
          { ...this.#context, writer, published, position },
          { term, epoch },
          (view) => (this.#view = view),
          signal,
        );
      } catch (error) {
        signal.throwIfAborted();
        if (isLeadershipLost(error)) throw error;
        // A slot that was made for it and says the same again would be made for ever.
        isUnreadable = !isRemade && (await isPastUnreadable(this.#context, error));
        if (!isUnreadable && isFatal(error)) throw error;
        if (isEpochLost(error) && seams.lostEpoch !== 'kept') lostEpoch = epochId;
        this.#trouble = describe(error);
        log.warn({ error }, 'the stream ended; another attempt follows');
      }
      this.#view = undefined;
      metrics.reconnects.inc();
      if (performance.now() - startedAtMs > GOOD_ATTEMPT_MS) {
        failures = 0;
        isRemade = false;
      }
      await sleep(backoffMs(failures, ATTEMPT_RETRY), signal);
    }
  }
}

function isEpochLost(error: unknown): boolean {
  return error instanceof ClarinError && error.code === 'epoch_lost';
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
