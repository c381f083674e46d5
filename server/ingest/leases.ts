import { randomUUID } from 'node:crypto';
import type { Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Sql } from '../../platform/sql.ts';
import {
  alignLeases,
  beatWorker,
  claimLeases,
  endWorker,
  readShares,
  releaseLease,
  type Lease,
} from '../commands/lease-work.ts';
import { createBell } from './bell.ts';
import type { Clock } from './clock.ts';

/** Something that each is with one worker. */
export type LeaseKind = {
  /** `kommo` of `kommo:7`. */
  readonly name: string;
  /** Gives the resources there are, in one column. */
  readonly wanted: Sql;
  /**
   * Begins the work. It is stopped before the lease is given back, and when the lease is lost; until then every
   * transaction that writes begins with `holdLease`. `onLost` is for work that finds there that it is late.
   */
  readonly start: (lease: Lease, onLost: () => void) => Running;
};

/**
 * A worker says that it lives every `beatMs` and is believed for `ttlMs`. One that could not say so for `stopAfterMs`
 * stops its work by itself: the difference is what it has for stopping.
 */
export type LeaseTiming = {
  readonly beatMs: number;
  readonly ttlMs: number;
  readonly stopAfterMs: number;
};
const TIMING: LeaseTiming = { beatMs: 5_000, ttlMs: 20_000, stopAfterMs: 15_000 };

export type LeaseMeans = {
  /** With connections of its own: a busy pool must not look like a dead worker. */
  readonly database: Database;
  readonly log: Log;
  readonly clock: Clock;
  readonly timing?: LeaseTiming;
};

/** How many of `total` are for each of `workers`: rounded up, so that all are with somebody. */
export function shareOf(total: number, workers: number): number {
  return Math.ceil(total / Math.max(1, workers));
}

/** How many are given back at one beat: a quarter of what is too much, so that a new worker is not flooded. */
export function surplusOf(mine: number, share: number): number {
  return Math.ceil(Math.max(0, mine - share) / 4);
}

/** From its first sign of life until it was silent for too long. The next life has another name. */
type Life = { readonly worker: string; aliveAt: number; hasBegun: boolean; isOver: boolean };
type Held = { readonly kind: string; readonly lease: Lease; readonly running: Running };

/**
 * Takes a fair share of what there is to do and works on it, for as long as the lease holds. Three loops: one says that
 * the worker lives, one shares, one watches that the first was heard. Runs until stopped; then everything it had is free
 * at once.
 */
export class Leases implements Running {
  readonly #means: LeaseMeans;
  readonly #timing: LeaseTiming;
  readonly #kinds: readonly LeaseKind[];
  readonly #stopping = new AbortController();
  readonly #sharing;
  /** By resource. */
  readonly #held = new Map<string, Held>();
  /** Work that is ending, by resource: it does not begin anew before. */
  readonly #ending = new Map<string, Promise<void>>();
  #life: Life;
  #done: Promise<unknown> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(means: LeaseMeans, kinds: readonly LeaseKind[]) {
    this.#means = means;
    this.#timing = means.timing ?? TIMING;
    this.#kinds = kinds;
    this.#sharing = createBell(means.clock);
    this.#life = this.#newLife();
  }

  start(): this {
    const { signal } = this.#stopping;
    const { clock } = this.#means;
    const { beatMs, stopAfterMs } = this.#timing;
    this.#done = Promise.all([
      this.#loop('saying that this worker lives', async () => {
        await this.#beat();
        await clock.sleep(beatMs, signal);
      }),
      this.#loop('sharing the work', async () => {
        await this.#sharing.wait(beatMs, signal);
        for (const kind of this.#kinds) await this.#share(kind);
      }),
      this.#loop('watching over this worker', async () => {
        await clock.sleep(this.#life.aliveAt + stopAfterMs - clock.elapsed(), signal);
        this.#watch();
        // Over already: the next life begins with a beat.
        if (this.#life.isOver) await clock.sleep(beatMs, signal);
      }),
    ]);
    return this;
  }

  /** What this worker is at. */
  holds(kind: string): Lease[] {
    return [...this.#held.values()].flatMap((held) => (held.kind === kind ? [held.lease] : []));
  }

  /** There may be something new: look now. */
  wake(): void {
    this.#sharing.ring();
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    this.#endAll();
    await this.#done;
    await Promise.all(this.#ending.values());
    await endWorker(this.#means.database, this.#life.worker).catch((error: unknown) => {
      this.#means.log.warn({ error }, 'leases could not be given back: they end by themselves');
    });
  }

  /** For as long as the process lives: what a round throws is logged, and the next one comes after a beat. */
  async #loop(what: string, round: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, log } = this.#means;
    while (!signal.aborted) {
      try {
        await round();
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ error }, `${what} failed`);
        await clock.sleep(this.#timing.beatMs, signal).catch(() => undefined);
      }
    }
  }

  #newLife(): Life {
    const aliveAt = this.#means.clock.elapsed();
    return { worker: randomUUID(), aliveAt, hasBegun: false, isOver: false };
  }

  async #beat(): Promise<void> {
    const { database, clock } = this.#means;
    if (this.#life.isOver) {
      await endWorker(database, this.#life.worker);
      this.#life = this.#newLife();
    }
    const life = this.#life;
    // From before it is sent: the database counts from later.
    const at = clock.elapsed();
    await beatWorker(database, life.worker, this.#timing.ttlMs);
    life.aliveAt = at;
    if (!life.hasBegun) this.#sharing.ring();
    life.hasBegun = true;
  }

  #watch(): void {
    const { clock, log } = this.#means;
    const silentMs = clock.elapsed() - this.#life.aliveAt;
    if (this.#life.isOver || silentMs < this.#timing.stopAfterMs) return;
    this.#life.isOver = true;
    log.error({ silentMs, held: this.#held.size }, 'not heard of for too long: work is stopped');
    this.#endAll();
  }

  async #share({ name, wanted, start }: LeaseKind): Promise<void> {
    const { database } = this.#means;
    const life = this.#life;
    if (life.isOver || !life.hasBegun) return;
    await alignLeases(database, name, wanted);
    const { total, workers, mine } = await readShares(database, life.worker, name);
    if (life.isOver) return;
    this.#endLost(name, mine);
    const share = shareOf(total, workers);
    const surplus = mine.slice(0, surplusOf(mine.length, share));
    for (const lease of surplus) {
      await this.#end(lease.resource);
      await releaseLease(database, lease);
    }
    const max = share - mine.length;
    const claimed = max > 0 ? await claimLeases(database, life.worker, { kind: name, max }) : [];
    if (life.isOver || this.#stopping.signal.aborted) return;
    for (const lease of [...mine.slice(surplus.length), ...claimed]) {
      const { resource } = lease;
      // What is ours and not worked on: the answer of a claim was lost, or its work is still ending.
      if (this.#held.has(resource) || this.#ending.has(resource)) continue;
      const running = start(lease, () => void this.#end(resource, lease));
      this.#held.set(resource, { kind: name, lease, running });
    }
  }

  /** What the database says is no longer ours. */
  #endLost(kind: string, mine: readonly Lease[]): void {
    const fences = new Map(mine.map((lease) => [lease.resource, lease.fence]));
    for (const held of this.#held.values()) {
      const { resource, fence } = held.lease;
      if (held.kind === kind && fences.get(resource) !== fence) void this.#end(resource);
    }
  }

  #endAll(): void {
    for (const resource of this.#held.keys()) void this.#end(resource);
  }

  /** Resolves when the work has ended. `lease`: only if it is (still) by virtue of this one. */
  async #end(resource: string, lease?: Lease): Promise<void> {
    const held = this.#held.get(resource);
    if (!held || (lease && held.lease !== lease)) return this.#ending.get(resource);
    this.#held.delete(resource);
    const ended = held.running.stop().catch((error: unknown) => {
      this.#means.log.error({ error, resource }, 'work did not end as it should');
    });
    this.#ending.set(resource, ended);
    await ended;
    this.#ending.delete(resource);
    this.#sharing.ring();
  }
}
