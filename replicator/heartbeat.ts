import { randomBytes } from 'node:crypto';
import { MESSAGE_HEARTBEAT } from '../domain/change.ts';
import { ClarinError } from '../domain/errors.ts';
import { sleep } from '../platform/backoff.ts';
import type { ControlStore, Mandate } from '../platform/cache/control.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Queries } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';
import { formatHeartbeat, type Heartbeat } from './logical-message.ts';
import { assertStillPublished } from './prepare.ts';
import { isFatal } from './retry.ts';

/** Between heartbeats. */
const HEARTBEAT_EVERY_MS = 1_000;

type Options = {
  readonly db: Queries;
  readonly control: ControlStore;
  readonly mandate: Mandate;
  readonly publication: string;
  /** Digest of the publication that the epoch stands for. */
  readonly published: string;
  readonly metrics: Metrics;
  readonly log: Log;
};

/**
 * Once a second a message goes into the WAL and comes back through the whole pipeline. Its way is the lag, it moves an idle
 * slot, and its return alone renews the lease by which readers trust the cache: dead, stuck or cut off look the same.
 */
export class HeartbeatLoop {
  readonly #options: Options;
  /** Anybody may write such a message: only those that name this are ours. */
  readonly #token = randomBytes(12).toString('hex');
  #sequence = 0;
  #emittedAtMs: number | undefined;
  #returnedSentMs: number | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  /** When the newest heartbeat was begun, by the monotonic clock, whether it went out or not; undefined before the first. */
  get emittedAtMs(): number | undefined {
    return this.#emittedAtMs;
  }

  /** When the newest heartbeat that came back had been sent; undefined before the first. */
  get returnedSentMs(): number | undefined {
    return this.#returnedSentMs;
  }

  /**
   * Emits until the signal. What cannot be emitted (Postgres or Redis away) is left out: the lease runs out by itself.
   * @throws the signal's reason; ClarinError when the publication is not what it was.
   */
  async run(signal: AbortSignal): Promise<never> {
    const { log } = this.#options;
    let wasFailing = false;
    for (;;) {
      try {
        await this.#emit(signal);
        if (wasFailing) log.info('heartbeats go out again');
        wasFailing = false;
      } catch (error) {
        signal.throwIfAborted();
        if (isFatal(error) || isMandateOver(error)) throw error;
        if (!wasFailing) log.warn({ error }, 'a heartbeat cannot be sent');
        wasFailing = true;
      }
      await sleep(HEARTBEAT_EVERY_MS, signal);
    }
  }

  async #emit(signal: AbortSignal): Promise<void> {
    const { db, control, mandate, published } = this.#options;
    // Before anything that may wait: with Postgres gone without a word not even a heartbeat goes out, and that it does not
    // come back is what the watchdog must see.
    this.#emittedAtMs = performance.now();
    await assertStillPublished(this.#options, published);
    const sentMs = performance.now();
    const redisMs = await control.redisTimeMs();
    const text = formatHeartbeat({
      token: this.#token,
      term: mandate.term,
      sequence: ++this.#sequence,
      redisMs,
      sentMs,
    });
    // A synchronous standby that does not answer must not hold up the very message that measures us.
    await db.query(
      sql`select set_config('synchronous_commit', 'local', true) as durability,
                 pg_logical_emit_message(true, ${MESSAGE_HEARTBEAT}, ${text}) as lsn`,
      { signal },
    );
  }

  /** False for one of another attempt or leader, and for a forged one. */
  owns(heartbeat: Heartbeat): boolean {
    return heartbeat.token === this.#token;
  }

  /** A heartbeat of ours has come back and everything before it is applied. */
  async returned(heartbeat: Heartbeat): Promise<void> {
    const { control, mandate, metrics } = this.#options;
    this.#returnedSentMs = heartbeat.sentMs;
    metrics.roundTripLagSeconds.set((performance.now() - heartbeat.sentMs) / 1_000);
    try {
      await control.renewLease({ ...mandate, sentAtMs: heartbeat.redisMs });
    } catch (error) {
      if (isFatal(error) || isMandateOver(error)) throw error;
    }
  }
}

function isMandateOver(error: unknown): boolean {
  return (
    error instanceof ClarinError &&
    (error.code === 'leadership_lost' || error.code === 'epoch_lost')
  );
}
