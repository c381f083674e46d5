import { ClarinError } from '../domain/errors.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Queries } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';
import { sleep } from '../platform/backoff.ts';

/**
 * The WAL shows a commit before other sessions can see it: the record is flushed and streamed before the transaction
 * leaves the process array, and with a synchronous standby that does not answer it stays there for hours. Whoever drops
 * a cache entry in between has the old row put back by the next reader. So nothing passes before a snapshot sees it.
 * https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
export type Snapshot = {
  /** The first transaction not yet assigned when it was taken; 64 bits. */
  readonly xmax: bigint;
  /** Those in progress. */
  readonly inProgress: ReadonlySet<bigint>;
};

/** Reads `xmin:xmax:xip,xip`. @throws ClarinError `internal` for other text. */
export function parseSnapshot(text: string): Snapshot {
  const match = /^\d+:(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (!match?.[1]) throw new ClarinError('internal', `not a snapshot: ${text}`);
  const list = match[2] === undefined || match[2] === '' ? [] : match[2].split(',');
  return { xmax: BigInt(match[1]), inProgress: new Set(list.map(BigInt)) };
}

const XID_BITS = 32n;
const HALF = 1n << 31n;
const WHOLE = 1n << XID_BITS;

/**
 * The stream tells the low 32 bits of a transaction's number. Live numbers lie within 2^31 of each other, so the snapshot's
 * xmax tells the rest.
 */
export function widenXid(xid: number, xmax: bigint): bigint {
  const candidate = ((xmax >> XID_BITS) << XID_BITS) | BigInt(xid);
  if (candidate - xmax > HALF) return candidate - WHOLE;
  if (xmax - candidate > HALF) return candidate + WHOLE;
  return candidate;
}

/** True when a committed transaction is over for every snapshot taken from now on. 0 is no transaction. */
export function isVisible(snapshot: Snapshot, xid: number): boolean {
  if (xid === 0) return true;
  const wide = widenXid(xid, snapshot.xmax);
  return wide < snapshot.xmax && !snapshot.inProgress.has(wide);
}

/** Bounded by nothing but the transactions themselves: there is no going on without them. */
const BACKOFF_MS_MIN = 1;
const BACKOFF_MS_MAX = 50;

type Options = { db: Queries; metrics: Metrics };

export class VisibilityGate {
  readonly #db: Queries;
  readonly #metrics: Metrics;
  #waitingSinceMs: number | undefined;

  constructor({ db, metrics }: Options) {
    this.#db = db;
    this.#metrics = metrics;
  }

  /** Since when something has been held back, by the monotonic clock; undefined when nothing is. */
  get waitingSinceMs(): number | undefined {
    return this.#waitingSinceMs;
  }

  /** Resolves when all of them are visible. One query where they already are. @throws ClarinError, or the signal's reason. */
  async pass(xids: readonly number[], signal: AbortSignal): Promise<void> {
    if (xids.every((xid) => xid === 0)) return;
    await this.#until((snapshot) => xids.every((xid) => isVisible(snapshot, xid)), signal);
  }

  /**
   * Resolves when every transaction that runs now is over. A slot that is made while a commit is in the WAL and not yet
   * visible will never show it, so an epoch that begins with that slot must begin after it.
   */
  async settle(signal: AbortSignal): Promise<void> {
    const running = await this.#snapshot(signal);
    await this.#until(
      (now) => [...running.inProgress].every((xid) => xid < now.xmax && !now.inProgress.has(xid)),
      signal,
    );
  }

  async #until(isOpen: (snapshot: Snapshot) => boolean, signal: AbortSignal): Promise<void> {
    if (isOpen(await this.#snapshot(signal))) return;
    this.#metrics.gateWaits.inc();
    this.#waitingSinceMs = performance.now();
    const stopTimer = this.#metrics.gateWaitSeconds.startTimer();
    try {
      for (let delayMs = BACKOFF_MS_MIN; ; delayMs = Math.min(delayMs * 2, BACKOFF_MS_MAX)) {
        await sleep(delayMs, signal);
        if (isOpen(await this.#snapshot(signal))) return;
      }
    } finally {
      stopTimer();
      this.#waitingSinceMs = undefined;
    }
  }

  async #snapshot(signal: AbortSignal): Promise<Snapshot> {
    signal.throwIfAborted();
    const [row] = await this.#db.query(sql`select pg_current_snapshot()::text as snapshot`);
    return parseSnapshot(row?.['snapshot'] ?? '');
  }
}
