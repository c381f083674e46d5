import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Mandate } from '../../../platform/cache/control.ts';
import { FILL, READ, runScript } from '../../../platform/cache/scripts.ts';
import type { CacheReader } from '../../../platform/cache/reader.ts';
import type { CacheWriter } from '../../../platform/cache/writer.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { lsnToHex } from '../../../domain/lsn.ts';
import { startRedis, type TestRedis } from '../../support/services.ts';
import { commitOf, keysOf, lsn, openCacheWorld, type CacheWorld } from './world.ts';

/**
 * Random schedules over the real scripts. Writers commit in two steps (durable, then visible); one replicator decodes
 * in LSN order, waits for visibility, applies, may crash and replay; Redis may lose everything; readers read, take
 * their snapshot, fill. Whatever is read must hold every commit at or before the watermark it came with.
 */
type Mutation = 'none' | 'no gate' | 'no tombstones' | 'late watermark';
type Reading = { reader: number; release: () => void; done: Promise<void> };

const ACCOUNT = 7;
const PLACE = { accountId: ACCOUNT, family: 'leads.list', field: 'all' };
const STEPS = 45;

/** Small, fast, seeded. */
function randomOf(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state >>> 0) % 1_000_003) % below;
  };
}

type ScheduleOptions = {
  world: CacheWorld;
  mandate: Mandate;
  readers: CacheReader[];
  seed: number;
  mutation: Mutation;
};

class Schedule {
  readonly #world: CacheWorld;
  readonly #random: (below: number) => number;
  readonly #mutation: Mutation;
  readonly #readers: CacheReader[];
  /** Durable commits in LSN order; those in #visible can be seen by snapshots. */
  readonly #durable: number[] = [];
  readonly #visible = new Set<number>();
  readonly #readings: Reading[] = [];
  readonly trace: string[] = [];
  #applied = 0;
  #acked = 0;
  #writer: CacheWriter;
  #mandate: Mandate;
  stale: string | undefined;

  constructor({ world, mandate, readers, seed, mutation }: ScheduleOptions) {
    this.#world = world;
    this.#mandate = mandate;
    this.#readers = readers;
    this.#random = randomOf(seed);
    this.#mutation = mutation;
    this.#writer = world.writer();
  }

  async run(): Promise<void> {
    const steps = [
      () => this.#flush(),
      () => this.#show(),
      () => this.#apply(),
      () => this.#apply(),
      () => this.#read(),
      () => this.#read(),
      () => this.#release(),
      () => this.#crash(),
      () => this.#lose(),
    ];
    for (let i = 0; i < STEPS && this.stale === undefined; i++) {
      const choice = this.#random(40);
      // Crashes and losses are rare, everything else is even.
      await steps[choice === 0 ? 8 : choice < 3 ? 7 : choice % 7]?.();
    }
    for (const reading of this.#readings) reading.release();
    await Promise.all(this.#readings.map((reading) => reading.done));
  }

  async #flush(): Promise<void> {
    const next = (this.#durable[this.#durable.length - 1] ?? 100) + 10;
    this.#durable.push(next);
    this.trace.push(`durable ${next}`);
  }

  async #show(): Promise<void> {
    const hidden = this.#durable.filter((commit) => !this.#visible.has(commit));
    const one = hidden[this.#random(Math.max(1, hidden.length))];
    if (one === undefined) return;
    this.#visible.add(one);
    this.trace.push(`visible ${one}`);
  }

  async #apply(): Promise<void> {
    const next = this.#durable[this.#applied];
    if (next === undefined) return;
    if (this.#mutation !== 'no gate' && !this.#visible.has(next)) return;
    try {
      await this.#writer.apply({
        ...this.#mandate,
        shares: [
          {
            accountId: ACCOUNT,
            commits: [commitOf(ACCOUNT, next)],
            invalidations: [{ family: PLACE.family, ids: 'all' }],
          },
        ],
      });
      await this.#world.control.advance({ ...this.#mandate, position: lsn(next) });
      this.#applied++;
      this.trace.push(`applied ${next}`);
      if (this.#random(2) === 0) this.#acked = this.#applied;
      if (this.#mutation === 'no tombstones') {
        await this.#world.redis.del(
          keysOf(this.#world, ACCOUNT, this.#mandate.epoch.id).tombstone(PLACE.family),
        );
      }
    } catch (error) {
      if (!(error instanceof ClarinError) || error.code !== 'epoch_lost') throw error;
      // Everything applied so far passed the gate: the new epoch begins there.
      const base = lsn(this.#durable[this.#applied - 1] ?? 0);
      this.#mandate = await this.#world.lead(base);
      this.#writer = this.#world.writer();
      this.trace.push(`epoch at ${base}`);
    }
  }

  async #crash(): Promise<void> {
    this.#applied = this.#acked;
    this.#writer = this.#world.writer();
    const term = await this.#world.control.raiseTerm();
    this.#mandate = { ...this.#mandate, term };
    await this.#world.control.fence(this.#mandate);
    this.trace.push(`crash, back to ${this.#acked}`);
  }

  async #lose(): Promise<void> {
    const keys = await this.#world.redis.keys(`${this.#world.space.prefix}:*`);
    if (keys.length > 0) await this.#world.redis.del(...keys);
    this.trace.push('Redis lost everything');
  }

  async #read(): Promise<void> {
    const index = this.#random(this.#readers.length);
    const reader = this.#readers[index];
    // One reading a reader: a second one might join the first one's query and wait for its release.
    if (!reader || this.#readings.some((reading) => reading.reader === index)) return;
    if (this.#mutation === 'late watermark') return this.#readLate(index);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let started = (): void => undefined;
    const loading = new Promise<void>((resolve) => (started = resolve));
    const load = async (): Promise<string> => {
      started();
      const snapshot = JSON.stringify([...this.#visible]);
      this.trace.push(`reader ${index} snapshot ${snapshot}`);
      await held;
      return snapshot;
    };
    const done = reader.readThrough({ ...PLACE, load }).then((result) => {
      started();
      this.trace.push(`reader ${index} ${result.status} ${result.body} at ${result.cursor?.lsn}`);
      if (result.cursor && result.status !== 'bypass')
        this.#check(String(result.body), Number(result.cursor.lsn));
    });
    await loading;
    this.#readings.push({ reader: index, release, done });
  }

  /** A reader that takes its watermark after its snapshot: what the fence forbids. */
  async #readLate(index: number): Promise<void> {
    const keys = keysOf(this.#world, ACCOUNT, this.#mandate.epoch.id);
    const look = (): Promise<unknown> =>
      runScript(this.#world.redis, READ, [keys.head, keys.family(PLACE.family)], [PLACE.field]);
    const [w, value] = (await look()) as [string, string | null];
    if (value !== null) return this.#check(value, Number.parseInt(w === '' ? '0' : w, 16));
    const snapshot = JSON.stringify([...this.#visible]);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const done = held.then(async () => {
      const [late, , atMs] = (await look()) as [string, string | null, string];
      const watermark = late === '' ? lsnToHex(this.#mandate.epoch.base) : late;
      const args = [PLACE.field, snapshot, watermark, atMs ?? '0', 60_000, 100, 1e6, 60];
      if (atMs)
        await runScript(
          this.#world.redis,
          FILL,
          [
            keys.family(PLACE.family),
            keys.tombstone(PLACE.family),
            keys.tombstone(`${PLACE.family}/${PLACE.field}`),
          ],
          args,
        );
      this.trace.push(`reader ${index} filled ${snapshot}`);
    });
    this.#readings.push({ reader: index, release, done });
  }

  async #release(): Promise<void> {
    const reading = this.#readings.splice(this.#random(Math.max(1, this.#readings.length)), 1)[0];
    reading?.release();
    await reading?.done;
  }

  #check(body: string, watermark: number): void {
    const held = new Set(JSON.parse(body) as number[]);
    const missing = this.#durable.find((commit) => commit <= watermark && !held.has(commit));
    if (missing !== undefined)
      this.stale = `at ${watermark} without ${missing}: ${this.trace.join('; ')}`;
  }
}

describe('coherence of the cache', () => {
  let server: TestRedis;

  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  async function search(mutation: Mutation, schedules: number): Promise<string | undefined> {
    for (let seed = 1; seed <= schedules; seed++) {
      const world = await openCacheWorld(server.url);
      try {
        const mandate = await world.lead(lsn(100));
        const readers = [await world.reader(), await world.reader(), await world.reader()];
        const schedule = new Schedule({ world, mandate, readers, seed, mutation });
        await schedule.run();
        if (schedule.stale !== undefined) return `seed ${seed}: ${schedule.stale}`;
      } finally {
        await world.close();
      }
    }
    return undefined;
  }

  it('[C5] a read holds every commit at or before its watermark, in 300 random schedules', async () => {
    expect(await search('none', 300)).toBeUndefined();
  }, 120_000);

  it.each(['no gate', 'no tombstones', 'late watermark'] as const)(
    '[C5] and with "%s" a stale value is found',
    async (mutation) => {
      expect(await search(mutation, 400)).toMatch(/without/);
    },
    120_000,
  );
});
