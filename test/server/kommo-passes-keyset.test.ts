import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KommoError } from '../../server/kommo/errors.ts';
import {
  beginReading,
  readUpdated,
  type Reading,
  type WantedPage,
} from '../../server/ingest/kommo/read-updated.ts';
import { firstCursor, nextCursor, overlapFrom } from '../../server/ingest/kommo/keyset.ts';
import { SeenRows } from '../../server/ingest/kommo/seen-rows.ts';

const NOW = { sent: 1, received: 2 };

type Version = { readonly updated_at: number; readonly v: number; readonly visibleAt: number };
type Row = { readonly id: number; readonly updated_at: number; readonly v: number };

type Traits = {
  /** Seconds until an edit can be seen in lists, at most. */
  readonly lateMax: number;
  /** Until then the row is not in lists at all, or is there as it was. */
  readonly hidesLate: boolean;
  /** Of Kommo's clock, seconds. */
  readonly offset: number;
  /** Of the clock of its rows, besides. */
  readonly rowsOffset: number;
  readonly isExclusive: boolean;
  readonly ignoresFilter: boolean;
};

const PLAIN: Traits = {
  lateMax: 0,
  hidesLate: false,
  offset: 0,
  rowsOffset: 0,
  isExclusive: false,
  ignoresFilter: false,
};

/** Kommo as the passes see it: a list of rows that is edited between two requests, and also within one second. */
function createWorld(rows: number, random: () => number, traits: Traits) {
  let now = 1_000_000;
  let requests = 0;
  const all = new Map<number, Version[]>();
  const moment = (): number => Math.floor(now + traits.offset + traits.rowsOffset);
  const edit = (id: number): void => {
    const versions = all.get(id) ?? [];
    const late = random() * traits.lateMax;
    const v = (versions.at(-1)?.v ?? 0) + 1;
    all.set(id, [...versions.slice(-9), { updated_at: moment(), v, visibleAt: now + late }]);
  };
  for (let id = 1; id <= rows; id++)
    all.set(id, [{ updated_at: moment() - 100_000, v: 0, visibleAt: 0 }]);
  const visible = (): Row[] =>
    [...all].flatMap(([id, versions]) => {
      const seen = versions.filter((version) => version.visibleAt <= now);
      if (seen.length === 0 || (traits.hidesLate && seen.length < versions.length)) return [];
      const { updated_at, v } = seen.at(-1)!;
      return [{ id, updated_at, v }];
    });
  const list = (wanted: WantedPage): Row[] => {
    const at = (wanted.page - 1) * wanted.limit;
    const isKeyset = 'by' in wanted;
    const from = isKeyset && !traits.ignoresFilter ? wanted.from + (traits.isExclusive ? 1 : 0) : 0;
    const to = isKeyset && !traits.ignoresFilter ? (wanted.to ?? Infinity) : Infinity;
    const found = visible().filter((row) => row.updated_at >= from && row.updated_at <= to);
    // Rows of one moment come in no order, and in another one each time. Who is counted through needs one, though.
    const ties = new Map(found.map((row) => [row.id, isKeyset ? random() : row.id]));
    const byMoment = (left: Row, right: Row): number =>
      left.updated_at - right.updated_at || ties.get(left.id)! - ties.get(right.id)!;
    const sorted = found.toSorted(
      isKeyset && wanted.by === 'id'
        ? (left, right) => left.id - right.id
        : isKeyset
          ? byMoment
          : (left, right) => -byMoment(left, right),
    );
    return sorted.slice(at, at + wanted.limit);
  };
  return {
    tick: (seconds: number) => void (now += seconds),
    edit: (count: number) => {
      for (let left = count; left > 0; left--) edit(1 + Math.floor(random() * rows));
    },
    editAll: () => {
      for (const id of all.keys()) edit(id);
    },
    add: () => edit(all.size + 1),
    remove: (id: number) => all.delete(id),
    serverSeconds: () => Math.floor(now + traits.offset),
    list: (wanted: WantedPage) => ((requests += 1), list(wanted)),
    requests: () => requests,
    truth: () => new Map([...all].map(([id, versions]) => [id, versions.at(-1)!.v])),
    all,
  };
}

type World = ReturnType<typeof createWorld>;

/** What is known here; passes leave out what they know already, as the worker does. */
function createCopy(world: World) {
  const copy = new Map([...world.all].map(([id]) => [id, 0]));
  const seen = new SeenRows();
  let writes = 0;
  return {
    copy,
    writes: () => writes,
    /** `between` happens after each request. */
    pass: (reading: Reading, between: () => void = () => undefined) =>
      readUpdated<Row>(reading, {
        fetch: async (wanted) => {
          const serverSeconds = world.serverSeconds();
          const rows = world.list(wanted);
          between();
          return { rows, serverSeconds };
        },
        take: async (rows) => {
          const fresh = seen.filterNew(rows);
          for (const row of fresh) {
            writes += 1;
            copy.set(row.id, row.v);
          }
          seen.note(fresh, NOW);
        },
      }),
    stale: () =>
      [...world.truth()].filter(([id, v]) => copy.get(id) !== v).map(([id, v]) => `${id}: ${v}`),
  };
}

/** Of who counts pages, rows that hide for a moment let others slip through: that is left to the reconciliation. */
const traitsOf = fc
  .record<Traits>({
    lateMax: fc.constantFrom(0, 1, 3),
    hidesLate: fc.boolean(),
    offset: fc.integer({ min: -90, max: 90 }),
    rowsOffset: fc.constantFrom(-90, 0, 90),
    isExclusive: fc.boolean(),
    ignoresFilter: fc.constantFrom(false, false, false, true),
  })
  .map((traits) => (traits.ignoresFilter ? { ...traits, hidesLate: false } : traits));

/** Edits of one period between two passes. */
const periodOf = fc.record({
  /** Until the next pass. */
  seconds: fc.constantFrom(5, 5, 5, 12, 60),
  /** In the same second, at once. */
  bulk: fc.constantFrom(0, 0, 0, 3, 260, 600, 900),
  /** After each request. */
  during: fc.integer({ min: 0, max: 6 }),
  adds: fc.integer({ min: 0, max: 3 }),
});

/** Reproducible, and quick enough for thousands of ties. */
function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function run(
  traits: Traits,
  periods: readonly { seconds: number; bulk: number; during: number; adds: number }[],
  seed: number,
): Promise<{ stale: string[]; requests: number }> {
  const random = randomOf(seed);
  const world = createWorld(900, random, traits);
  const copy = createCopy(world);
  let reading = beginReading(firstCursor(world.serverSeconds()));
  const between = (during: number) => (): void => {
    world.tick(0.2 + random() * 0.3);
    world.edit(Math.floor(random() * (during + 1)));
  };
  for (const { seconds, bulk, during, adds } of periods) {
    world.edit(bulk);
    for (let left = adds; left > 0; left--) world.add();
    world.tick(seconds);
    reading = await copy.pass(reading, between(during));
  }
  // What a clock of rows that is behind has kept from the short way back is found by the long one.
  for (let left = traits.rowsOffset === 0 ? 1 : 12; left > 0; left--) {
    world.tick(5);
    reading = await copy.pass(reading);
  }
  return { stale: copy.stale(), requests: world.requests() };
}

describe('a pass over what changed', () => {
  test('misses nothing: edits between requests, edits of thousands in one second, late lists, clocks that are off', async () => {
    await fc.assert(
      fc.asyncProperty(
        traitsOf,
        fc.array(periodOf, { minLength: 1, maxLength: 8 }),
        fc.integer(),
        async (traits, periods, seed) => {
          expect((await run(traits, periods, seed)).stale).toEqual([]);
        },
      ),
      { numRuns: 30 },
    );
  });

  const quiet = () => {
    const world = createWorld(1_500, randomOf(1), PLAIN);
    return { world, copy: createCopy(world), reading: beginReading(world.serverSeconds()) };
  };

  test('is one request and nothing to write when nothing changed, also with rows that are seen again', async () => {
    const { world, copy, reading } = quiet();
    world.edit(20);
    world.tick(1);
    const after = await copy.pass(reading);
    const written = copy.writes();
    world.tick(5);
    const before = world.requests();
    const again = await copy.pass(after);
    expect(world.requests() - before).toBe(1);
    expect(copy.writes()).toBe(written);
    expect(again.cursor).toBe(after.cursor);
  });

  test('goes through thousands of one second once, and little more', async () => {
    const { world, copy, reading } = quiet();
    world.editAll();
    world.tick(5);
    await copy.pass(reading);
    expect(copy.stale()).toEqual([]);
    // 1,500 rows are 6 pages; two find that it is crowded, one is for the overlap, one says that nothing comes after.
    expect(world.requests()).toBe(10);
  });

  test('that fails leaves the cursor where it was, and the next one has everything', async () => {
    const { world, copy, reading } = quiet();
    world.edit(900);
    world.tick(3);
    let left = 2;
    const failing = copy.pass(reading, () => {
      if (left-- === 0) throw new KommoError('unavailable', 'away', { status: 503 });
    });
    await expect(failing).rejects.toThrow('away');
    expect(copy.stale()).not.toEqual([]);
    world.tick(600);
    await copy.pass(reading);
    expect(copy.stale()).toEqual([]);
  });

  test('asks for shorter pages when the server does not manage long ones, down to fifty rows', async () => {
    const { world, reading } = quiet();
    world.editAll();
    world.tick(5);
    const limits = new Set<number>();
    const found = new Set<number>();
    const after = await readUpdated<Row>(reading, {
      fetch: async (wanted) => {
        limits.add(wanted.limit);
        if (wanted.limit > 70) throw new KommoError('unavailable', 'too slow', { status: 504 });
        return { rows: world.list(wanted), serverSeconds: world.serverSeconds() };
      },
      take: async (rows) => rows.forEach((row) => found.add(row.id)),
    });
    expect(found.size).toBe(1_500);
    expect([...limits].slice(0, 3)).toEqual([250, 125, 62]);
    expect(after.pageRows).toBe(62);
    const never = readUpdated<Row>(reading, {
      fetch: async () => Promise.reject(new KommoError('unavailable', 'slow', { status: 504 })),
      take: async () => undefined,
    });
    await expect(never).rejects.toThrow('slow');
  });
});

test('a list that never ends is given up', async () => {
  const rows = Array.from({ length: 250 }, (_, index) => ({ id: index + 1, updated_at: 1_000 }));
  const endless = readUpdated(beginReading(1_000), {
    fetch: async () => ({ rows, serverSeconds: 1_000 }),
    take: async () => undefined,
  });
  await expect(endless).rejects.toThrow('does not end');
});

test('a pass goes back ten seconds, each twelfth one two minutes', () => {
  expect(overlapFrom(1_000, 1)).toBe(990);
  expect(overlapFrom(1_000, 11)).toBe(990);
  expect(overlapFrom(1_000, 12)).toBe(880);
  expect(overlapFrom(5, 1)).toBe(0);
});

test('the cursor follows what was seen, not beyond the time of the first page, and never backwards', () => {
  const at = (cursor: number, maxSeen: number | undefined, serverSeconds: number): number =>
    nextCursor(cursor, { maxSeen, serverSeconds });
  expect(at(1_000, 1_040, 1_050)).toBe(1_040);
  expect(at(1_000, 1_090, 1_050)).toBe(1_050);
  // Quiet for long: two minutes behind.
  expect(at(1_000, undefined, 5_000)).toBe(4_880);
  expect(at(1_000, 1_010, 5_000)).toBe(4_880);
  // Its clock went back.
  expect(at(1_000, 400, 500)).toBe(1_000);
});

test('what was seen is known by its content, and the oldest is forgotten', () => {
  const seen = new SeenRows(2);
  const row = (id: number, v: number) => ({ id, updated_at: 7, v });
  seen.note([row(1, 0), row(2, 0)], NOW);
  expect(seen.filterNew([row(1, 0), row(2, 1)])).toEqual([row(2, 1)]);
  // The links of a document say how it was asked for.
  const linked = { ...row(1, 0), _links: { self: '?page=2' } };
  expect(seen.filterNew([linked])).toEqual([]);
  seen.note([row(1, 0), row(3, 0)], NOW);
  expect(seen.filterNew([row(1, 0), row(2, 0), row(3, 0)])).toEqual([row(2, 0)]);
});

describe('of two looks at a row', () => {
  const row = (v: number, updated_at = 7) => ({ id: 1, updated_at, v });
  const known = new SeenRows();
  known.note([row(0)], { sent: 5, received: 8 });
  const sift = (v: number, [sent, received]: [number, number], updated_at = 7) => {
    const { current, doubtful } = known.sift([row(v, updated_at)], { sent, received });
    return { isWritten: current.length > 0, isDoubtful: doubtful.length > 0 };
  };

  test('the one that was asked for later counts', () => {
    expect(sift(1, [9, 10])).toEqual({ isWritten: true, isDoubtful: false });
    expect(sift(1, [3, 4])).toEqual({ isWritten: false, isDoubtful: false });
  });

  test('that were under way at once nobody knows which is newer, if they differ', () => {
    expect(sift(1, [4, 6])).toEqual({ isWritten: false, isDoubtful: true });
    expect(sift(1, [4, 9])).toEqual({ isWritten: false, isDoubtful: true });
    expect(sift(1, [6, 7])).toEqual({ isWritten: true, isDoubtful: true });
    expect(sift(0, [4, 9])).toEqual({ isWritten: false, isDoubtful: false });
  });

  test('the moment of the row decides where it can', () => {
    expect(sift(1, [3, 4], 8)).toEqual({ isWritten: true, isDoubtful: false });
    expect(sift(1, [9, 10], 6)).toEqual({ isWritten: false, isDoubtful: false });
  });
});
