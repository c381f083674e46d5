import { Cluster } from 'ioredis';
import {
  accountKeys,
  controlKeys,
  ENTRY_BYTES_MAX,
  FAMILY_BYTES_MAX,
  FAMILY_ENTRIES_MAX,
  FAMILY_SECONDS,
  LIVENESS_MS,
  TOMBSTONE_SECONDS,
  type Keyspace,
} from '../../domain/cache-key.ts';
import { cursorOfPosition, type Cursor } from '../../domain/cursor.ts';
import { lsnFromHex, lsnToHex, type Lsn } from '../../domain/lsn.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { infoOfAll, readRunId, type RedisClient } from '../redis.ts';
import { lookAt } from './look.ts';
import { FILL, runScript } from './scripts.ts';

/** After Redis failed to answer, reads go straight to Postgres for this long before the next one tries again. */
const SUSPECT_MS = 1_000;
/**
 * A full Redis refuses the replicator's writes too, and the feed would stand: readers store nothing any more when it is
 * this full, asked at most once in this time.
 */
const FULL_RATIO = 0.8;
const FULLNESS_EVERY_MS = 1_000;

export type CacheStatus = 'hit' | 'miss' | 'bypass';
export type CachedBody = { body: string; status: CacheStatus; cursor: Cursor | undefined };

type Place = { accountId: number; family: string; field: string };

export type ReadOptions = Place & {
  /** Answer from Postgres while the global position is behind it. */
  minCommit?: Lsn | undefined;
  /** Reads the primary with a snapshot taken after the call. What it throws reaches the caller. */
  load: () => Promise<string>;
};

/** `live` as the leader wrote it, and the global position, read behind the entry in the same round trip. */
type Trust = { epoch: string; base: string; position: string };
type Look = {
  trust: Trust | undefined;
  reason: BypassReason;
  watermark: string;
  value: string | undefined;
  atMs: string;
};
type BypassReason = 'unreachable' | 'no_lease' | 'epoch' | 'restarted' | 'min_commit' | 'suspect';
type Flight = { watermark: string; epoch: string; body: Promise<string> };

/**
 * The reader's half of the cache. A miss remembers (epoch, watermark, Redis' clock) from *before* the snapshot of
 * Postgres; the fill shows them again and is refused when anything the value depends on has moved since.
 * Without a live lease of the replicator, without Redis or in doubt, reads bypass the cache.
 */
export class CacheReader {
  readonly #redis: RedisClient;
  readonly #space: Keyspace;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #flights = new Map<string, Flight>();
  readonly #listed = new Set<number>();
  /** The Redis process this connection talks to; undefined until it has said so. */
  #runId: string | undefined;
  #epoch = '';
  #lastPosition: Cursor | undefined;
  #suspectUntilMs = 0;
  /** Renewed every second: one that stays the same has nobody behind it. */
  #lease = { text: '', seenAtMs: 0 };
  #isFull = false;
  #fullnessAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    redis: RedisClient;
    space: Keyspace;
    log: Log;
    metrics: Metrics;
    now?: () => number;
  }) {
    this.#redis = options.redis;
    this.#space = options.space;
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.#now = options.now ?? (() => performance.now());
    // A Cluster's nodes say with every answer who they are.
    if (this.#redis instanceof Cluster) return;
    // A restarted Redis may have come back with old data and a lease that has not died yet: who it is comes first.
    this.#redis.on('close', () => (this.#runId = undefined));
    this.#redis.on('ready', () => void this.#identify());
    if (this.#redis.status === 'ready') void this.#identify();
  }

  async #identify(): Promise<void> {
    try {
      this.#runId = await readRunId(this.#redis);
    } catch (error) {
      this.#log.debug({ error }, 'Redis did not say who it is; reads bypass the cache');
    }
  }

  /** Reads an entry through the cache; see CachedBody. Redis being away is never an error here. */
  async readThrough(options: ReadOptions): Promise<CachedBody> {
    const look = await this.#look(options, options.minCommit);
    const { trust, value, watermark } = look;
    if (!trust) {
      this.#metrics.cacheBypasses.inc({ reason: look.reason });
      // The position was read before the load, and all commits up to it are visible: a sound cursor.
      const at = this.#lastPosition;
      const cursor = at && cursorOfPosition(at.epoch, at.lsn);
      return { body: await options.load(), status: 'bypass', cursor };
    }
    const cursor: Cursor = { epoch: trust.epoch, lsn: lsnFromHex(watermark) };
    if (value !== undefined) {
      this.#metrics.cacheHits.inc({ family: options.family });
      return { body: value, status: 'hit', cursor };
    }
    this.#metrics.cacheMisses.inc({ family: options.family });
    const body = await this.#loadOnce(options, look, trust.epoch);
    return { body, status: 'miss', cursor };
  }

  /** The global position: all commits that end at or before it are in Redis. Undefined when Redis cannot say. */
  async position(): Promise<Cursor | undefined> {
    try {
      const text = await this.#redis.get(controlKeys(this.#space).position);
      return text === null ? undefined : parsePosition(text);
    } catch {
      return undefined;
    }
  }

  /** Whether the replicator's lease is alive: readers trust the cache. */
  async isLive(): Promise<boolean> {
    try {
      return (await this.#redis.exists(controlKeys(this.#space).live)) === 1;
    } catch {
      return false;
    }
  }

  /** One round trip. Tries again once when the epoch is not the one it guessed. */
  async #look(place: Place, minCommit: Lsn | undefined): Promise<Look> {
    if (this.#now() < this.#suspectUntilMs) return bypass('suspect');
    if (this.#runId === undefined && !(this.#redis instanceof Cluster))
      return bypass('unreachable');
    for (let attempt = 0; attempt < 2; attempt++) {
      const guess = this.#epoch;
      const look = await this.#lookIn(guess, place).catch((error: unknown) => this.#suspect(error));
      if (!look.trust) return look;
      if (look.trust.epoch !== guess) {
        this.#epoch = look.trust.epoch;
        this.#listed.clear();
        continue;
      }
      if (minCommit !== undefined && look.trust.position < lsnToHex(minCommit))
        return bypass('min_commit');
      return look;
    }
    return bypass('epoch');
  }

  async #lookIn(epoch: string, place: Place): Promise<Look> {
    const keys = accountKeys(this.#space, place.accountId, epoch);
    const control = controlKeys(this.#space);
    // Listed before its first read: a TRUNCATE, which names no account, must find every account that has entries.
    if (epoch !== '' && !this.#listed.has(place.accountId)) {
      await this.#redis.sadd(control.accounts(epoch), place.accountId);
      this.#listed.add(place.accountId);
    }
    const raw = await lookAt(this.#redis, {
      head: keys.head,
      family: keys.family(place.family),
      field: place.field,
      live: control.live,
      position: control.position,
    });
    const { live, position, watermark } = raw;
    if (position) this.#lastPosition = parsePosition(position);
    if (!live || !position || this.#isStale(live)) return bypass('no_lease');
    const lease = JSON.parse(live) as { epoch: string; base: string; run_id: string };
    if (!this.#isHeldBy(lease.run_id, raw.runIds)) return bypass('restarted');
    return {
      trust: {
        epoch: lease.epoch,
        base: lease.base,
        position: position.slice(lease.epoch.length + 1),
      },
      reason: 'epoch',
      watermark: watermark === '' ? lease.base : watermark,
      value: raw.value,
      atMs: raw.atMs,
    };
  }

  /** Whether those that answered are what the lease vouches for, and none of them was started anew since. */
  #isHeldBy(vouched: string, runIds: readonly string[]): boolean {
    if (!(this.#redis instanceof Cluster)) return vouched === this.#runId;
    return runIds.length === 2 && runIds.every((runId) => vouched.includes(`${runId}/`));
  }

  /**
   * Redis reckons a lease by its wall clock, and one that is put back lets it live on behind a dead replicator. Ours goes
   * on evenly.
   */
  #isStale(live: string): boolean {
    if (live !== this.#lease.text) this.#lease = { text: live, seenAtMs: this.#now() };
    return this.#now() - this.#lease.seenAtMs > LIVENESS_MS;
  }

  #suspect(error: unknown): Look {
    this.#suspectUntilMs = this.#now() + SUSPECT_MS;
    this.#log.debug({ error }, 'Redis did not answer a read');
    return bypass('unreachable');
  }

  /**
   * Concurrent misses of one entry share one query, but only when it began at the same watermark: a reader that comes
   * because of an event must not get the answer of a query that began before it.
   */
  async #loadOnce(options: ReadOptions, look: Look, epoch: string): Promise<string> {
    const key = `${options.accountId} ${options.family} ${options.field}`;
    const known = this.#flights.get(key);
    if (known && known.watermark === look.watermark && known.epoch === epoch) return known.body;
    const body = this.#loadAndFill(options, look, epoch);
    const flight = { watermark: look.watermark, epoch, body };
    this.#flights.set(key, flight);
    try {
      return await body;
    } finally {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    }
  }

  async #loadAndFill(options: ReadOptions, look: Look, epoch: string): Promise<string> {
    const body = await options.load();
    const outcome = await this.#fill(options, look, epoch, body).catch(() => 'unreachable');
    if (outcome === 'stored') this.#metrics.cacheFills.inc();
    else this.#metrics.cacheFillsRejected.inc({ reason: outcome });
    return body;
  }

  /** Without a maxmemory Redis is never full: the machine is then. */
  async #isRedisFull(): Promise<boolean> {
    if (this.#now() < this.#fullnessAtMs + FULLNESS_EVERY_MS) return this.#isFull;
    this.#fullnessAtMs = this.#now();
    // Of a Cluster, when one node is: a full one refuses the replicator's writes, and the feed of all stands.
    this.#isFull = (await infoOfAll(this.#redis)).some(isFull);
    return this.#isFull;
  }

  async #fill(place: Place, look: Look, epoch: string, body: string): Promise<string> {
    if (epoch !== this.#epoch) return 'epoch';
    if (Buffer.byteLength(body) > ENTRY_BYTES_MAX) return 'size';
    if (await this.#isRedisFull()) return 'full';
    const keys = accountKeys(this.#space, place.accountId, epoch);
    const answer = await runScript(
      this.#redis,
      FILL,
      [
        keys.family(place.family),
        keys.tombstone(place.family),
        keys.tombstone(`${place.family}/${place.field}`),
      ],
      [
        place.field,
        body,
        look.watermark,
        look.atMs,
        (TOMBSTONE_SECONDS * 1_000) / 2,
        FAMILY_ENTRIES_MAX,
        FAMILY_BYTES_MAX,
        FAMILY_SECONDS,
      ],
    );
    return String(answer);
  }
}

function isFull(info: string): boolean {
  const read = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]);
  const limit = read('maxmemory');
  return limit > 0 && read('used_memory') > FULL_RATIO * limit;
}

function bypass(reason: BypassReason): Look {
  return { trust: undefined, reason, watermark: '', value: undefined, atMs: '0' };
}

function parsePosition(text: string): Cursor | undefined {
  const space = text.indexOf(' ');
  if (space < 1) return undefined;
  return { epoch: text.slice(0, space), lsn: lsnFromHex(text.slice(space + 1)) };
}
