import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KommoError } from '../../server/kommo/errors.ts';
import { createLimiter, LANES, type KommoLimiter, type Lane } from '../../server/kommo/limiter.ts';
import type { RateStore } from '../../server/kommo/rate-store.ts';

const SPACING_MS = 100;
const NEVER = new AbortController().signal;

/** A clock that stands until it is told to go, and moments as Postgres has them, by the same clock. */
class Desk {
  nowMs = 0;
  /** How long an answer of the store takes. */
  answerMs = 0;
  failing: Error | undefined;
  readonly reserved: { buckets: readonly string[]; slots: number; atMs: number }[] = [];
  readonly pausedUntilMs = new Map<string, number>();
  readonly #nextAt = new Map<string, number>();
  #timers: { atMs: number; run: () => void }[] = [];
  readonly limiter: KommoLimiter;

  constructor() {
    this.limiter = createLimiter({
      store: this.#store(),
      egress: 'e',
      requestsPerSecond: 1_000 / SPACING_MS,
      now: () => this.nowMs,
      sleep: (delayMs, signal) => this.#sleep(delayMs, signal),
    });
  }

  #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#timers.push({ atMs: this.nowMs + delayMs, run: resolve });
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  #store(): RateStore {
    return {
      reserve: async ({ buckets, pauses, slots }) => {
        if (this.failing) throw this.failing;
        const paused = pauses.find((bucket) => (this.pausedUntilMs.get(bucket) ?? 0) > this.nowMs);
        if (paused !== undefined)
          return { kind: 'paused', bucket: paused, untilMs: this.pausedUntilMs.get(paused) ?? 0 };
        const busy = buckets.map((bucket) => this.#nextAt.get(bucket) ?? 0);
        const atMs = Math.max(this.nowMs, ...busy);
        for (const bucket of buckets) this.#nextAt.set(bucket, atMs + slots * SPACING_MS);
        if (buckets.length > 0) this.reserved.push({ buckets, slots, atMs });
        const waitMs = atMs - this.nowMs;
        this.nowMs += this.answerMs;
        return { kind: 'granted', waitMs, spacingMs: SPACING_MS };
      },
      pause: async ({ bucket, seconds }) => {
        const untilMs = this.nowMs + seconds * 1_000;
        this.pausedUntilMs.set(bucket, untilMs);
        return untilMs;
      },
    };
  }

  /** Somebody else takes moments of the address. */
  occupy(bucket: string, untilMs: number): void {
    this.#nextAt.set(bucket, untilMs);
  }

  /** What is due by then runs, each at its moment; `late`: all of it at the end, as when the process stood still. */
  async goTo(endMs: number, isLate = false): Promise<void> {
    await settle();
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > endMs) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.nowMs = Math.max(this.nowMs, isLate ? endMs : next.atMs);
      next.run();
      await settle();
    }
    this.nowMs = Math.max(this.nowMs, endMs);
    await settle();
  }
}

/** Lets everything run that waits for nothing. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Granted = { name: string; atMs: number };

/** Asks for turns; gives who got one, and when, in their order. */
function createCrowd(desk: Desk) {
  const granted: Granted[] = [];
  const refused: { name: string; error: unknown }[] = [];
  const ask = (name: string, lane: Lane, connectionId = 1, signal = NEVER): void => {
    void desk.limiter.acquire({ lane, connectionId, signal }).then(
      () => granted.push({ name, atMs: desk.nowMs }),
      (error: unknown) => refused.push({ name, error }),
    );
  };
  return { granted, refused, ask, names: () => granted.map(({ name }) => name) };
}

describe('the order of requests to Kommo', () => {
  it('is by lanes, and within a lane by who came first, one at each moment', async () => {
    const desk = new Desk();
    const crowd = createCrowd(desk);
    for (const lane of ['sweep', 'poll', 'hint', 'interactive'] as const)
      for (const number of [1, 2]) crowd.ask(`${lane} ${number}`, lane);
    await desk.goTo(10_000);
    expect(crowd.names()).toEqual(LANES.flatMap((lane) => [`${lane} 1`, `${lane} 2`]));
    expect(crowd.granted.map(({ atMs }) => atMs)).toEqual(crowd.granted.map((_, n) => n * 100));
  });

  it('lets somebody of a higher lane have the moment that was reserved before he came', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 500);
    const crowd = createCrowd(desk);
    crowd.ask('sweep', 'sweep');
    await desk.goTo(400);
    expect(desk.reserved).toHaveLength(1);
    crowd.ask('interactive', 'interactive');
    await desk.goTo(1_000);
    expect(crowd.granted).toEqual([
      { name: 'interactive', atMs: 500 },
      { name: 'sweep', atMs: 600 },
    ]);
  });

  it('reserves a moment of the account too, whoever takes it', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 500);
    const crowd = createCrowd(desk);
    crowd.ask('poll of 1', 'poll', 1);
    await desk.goTo(400);
    crowd.ask('hint of 2', 'hint', 2);
    await desk.goTo(1_000);
    expect(crowd.names()).toEqual(['hint of 2', 'poll of 1']);
    expect(desk.reserved.map(({ buckets }) => buckets)).toEqual([
      ['egress:e', 'account:1'],
      ['account:2'],
      ['egress:e', 'account:1'],
    ]);
  });

  it('keeps an account that is busy through another address waiting, and nobody else for long', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 500);
    desk.occupy('account:2', 900);
    const crowd = createCrowd(desk);
    crowd.ask('poll of 1', 'poll', 1);
    await desk.goTo(400);
    crowd.ask('hint of 2', 'hint', 2);
    await desk.goTo(5_000);
    expect(crowd.granted.find(({ name }) => name === 'hint of 2')?.atMs).toBeGreaterThanOrEqual(
      900,
    );
    expect(crowd.granted).toHaveLength(2);
  });

  it('forgets who no longer waits, and reserves nothing for nobody', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 500);
    const crowd = createCrowd(desk);
    const stopping = new AbortController();
    crowd.ask('gone', 'interactive', 1, stopping.signal);
    crowd.ask('stays', 'poll');
    await desk.goTo(100);
    stopping.abort(new Error('no longer'));
    await desk.goTo(2_000);
    expect(crowd.names()).toEqual(['stays']);
    expect(crowd.refused).toMatchObject([{ name: 'gone', error: { message: 'no longer' } }]);
    const asked = desk.reserved.length;
    await desk.goTo(60_000);
    expect(desk.reserved).toHaveLength(asked);
    await expect(
      desk.limiter.acquire({ lane: 'poll', connectionId: 1, signal: stopping.signal }),
    ).rejects.toThrow('no longer');
  });

  it('does not grant the moment of somebody who left early to who came after', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 500);
    const crowd = createCrowd(desk);
    const stopping = new AbortController();
    crowd.ask('gone', 'poll', 1, stopping.signal);
    await desk.goTo(100);
    stopping.abort(new Error('no longer'));
    crowd.ask('comes', 'poll');
    await desk.goTo(499);
    expect(crowd.names()).toEqual([]);
    await desk.goTo(1_000);
    expect(crowd.granted).toEqual([{ name: 'comes', atMs: 600 }]);
  });
});

describe('a moment', () => {
  it('is void when the process stood still until it was over', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 500);
    const crowd = createCrowd(desk);
    crowd.ask('one', 'poll');
    await desk.goTo(551, true);
    expect(crowd.granted).toEqual([]);
    await desk.goTo(2_000);
    expect(crowd.granted).toEqual([{ name: 'one', atMs: 600 }]);
  });

  it('is one of several in a row while answers of Postgres take too long for one', async () => {
    const desk = new Desk();
    desk.answerMs = 130;
    const crowd = createCrowd(desk);
    crowd.ask('one', 'poll');
    await desk.goTo(2_000);
    expect(crowd.granted).toHaveLength(1);
    expect(desk.reserved.map(({ slots }) => slots)).toEqual([1, 2]);
    desk.answerMs = 0;
    for (const name of ['two', 'three', 'four']) crowd.ask(name, 'poll');
    await desk.goTo(4_000);
    expect(desk.reserved.slice(2).map(({ slots }) => slots)).toEqual([1, 1, 1]);
  });
});

describe('a pause', () => {
  it('refuses all who wait, with its end, and lets the next ones through when it is over', async () => {
    const desk = new Desk();
    const crowd = createCrowd(desk);
    expect(await desk.limiter.rest(300)).toBe(300_000);
    crowd.ask('a', 'interactive');
    crowd.ask('b', 'sweep');
    await desk.goTo(1_000);
    for (const { error } of crowd.refused)
      expect(error).toMatchObject({ kind: 'rate_limited', untilMs: 300_000 });
    expect(crowd.refused).toHaveLength(2);
    expect(desk.reserved).toEqual([]);
    await desk.goTo(300_000);
    crowd.ask('c', 'poll');
    await desk.goTo(300_001);
    expect(crowd.names()).toEqual(['c']);
  });

  it('that comes while somebody waits for his moment takes it from him, wherever it was asked for', async () => {
    for (const bucket of ['egress:e', 'blocked:e', 'account:1']) {
      const desk = new Desk();
      desk.occupy('egress:e', 500);
      const crowd = createCrowd(desk);
      crowd.ask('a', 'poll');
      await desk.goTo(300);
      desk.pausedUntilMs.set(bucket, 60_000);
      await desk.goTo(1_000);
      const kind = bucket === 'blocked:e' ? 'blocked' : 'rate_limited';
      expect(crowd.refused).toMatchObject([{ error: { kind, untilMs: 60_000 } }]);
      expect(crowd.refused[0]?.error).toBeInstanceOf(KommoError);
    }
  });

  it('of this process is seen though the moment is near', async () => {
    const desk = new Desk();
    desk.occupy('egress:e', 50);
    const crowd = createCrowd(desk);
    crowd.ask('a', 'poll');
    await desk.goTo(20);
    await desk.limiter.shutOut();
    await desk.goTo(1_000);
    expect(crowd.refused).toMatchObject([{ error: { kind: 'blocked', untilMs: 900_020 } }]);
  });
});

it('a fault of Postgres is for those who wait, and for nobody after them', async () => {
  const desk = new Desk();
  const crowd = createCrowd(desk);
  desk.failing = new Error('away');
  crowd.ask('a', 'poll');
  crowd.ask('b', 'hint');
  await desk.goTo(10);
  expect(crowd.refused.map(({ error }) => (error as Error).message)).toEqual(['away', 'away']);
  desk.failing = undefined;
  crowd.ask('c', 'poll');
  await desk.goTo(20);
  expect(crowd.names()).toEqual(['c']);
});

it('whoever asks when, nobody of a low lane goes before somebody of a higher one who waits, and all go one at a time', async () => {
  const arrival = fc.record({
    atMs: fc.integer({ min: 0, max: 2_000 }),
    lane: fc.constantFrom(...LANES),
    connectionId: fc.integer({ min: 1, max: 3 }),
    leavesMs: fc.option(fc.integer({ min: 0, max: 500 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(arrival, { maxLength: 30 }), async (arrivals) => {
      const desk = new Desk();
      const crowd = createCrowd(desk);
      const came = arrivals
        .map((each, number) => ({ ...each, name: String(number), stop: new AbortController() }))
        .toSorted((a, b) => a.atMs - b.atMs);
      const moments = came.flatMap((each) => [
        {
          atMs: each.atMs,
          run: () => crowd.ask(each.name, each.lane, each.connectionId, each.stop.signal),
        },
        ...(each.leavesMs === undefined
          ? []
          : [{ atMs: each.atMs + each.leavesMs, run: () => each.stop.abort(new Error('left')) }]),
      ]);
      for (const { atMs, run } of moments.toSorted((a, b) => a.atMs - b.atMs)) {
        await desk.goTo(atMs);
        run();
      }
      await desk.goTo(1_000_000);
      expect(crowd.granted.length + crowd.refused.length).toBe(came.length);
      crowd.granted.forEach(({ name, atMs }, index) => {
        const before = crowd.granted[index - 1];
        if (before) expect(atMs - before.atMs).toBeGreaterThanOrEqual(SPACING_MS);
        const mine = came.find((each) => each.name === name);
        const waiting = crowd.granted
          .slice(index + 1)
          .map((other) => came.find((each) => each.name === other.name));
        for (const other of waiting)
          if (other && mine && other.atMs < atMs)
            expect(LANES.indexOf(mine.lane)).toBeLessThanOrEqual(LANES.indexOf(other.lane));
      });
    }),
    { numRuns: 100 },
  );
});
