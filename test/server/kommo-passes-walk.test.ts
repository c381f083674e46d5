import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginIdWalk, shortenPages, takeIdPage } from '../../server/ingest/kommo/id-walk.ts';

type Row = { readonly id: number };

const rowsTo = (count: number): Row[] =>
  Array.from({ length: count }, (_, index) => ({ id: index + 1 }));

/** Walks through `rows`, which `between` may change after each request. */
function walk(
  rows: Row[],
  { limit = 250, between = () => undefined }: { limit?: number; between?: () => void } = {},
) {
  let state = beginIdWalk(limit);
  const found: number[] = [];
  let requests = 0;
  while (state.ask) {
    const { page, limit: length } = state.ask;
    requests += 1;
    const taken = takeIdPage(state, rows.slice((page - 1) * length, page * length));
    state = taken.walk;
    found.push(...taken.fresh.map((row) => row.id));
    between();
  }
  return { found, requests };
}

test('a walk sees every row once, in order, at a tenth more requests than pages', () => {
  for (const count of [0, 1, 249, 250, 251, 1_000, 7_777]) {
    const { found } = walk(rowsTo(count));
    expect(found).toEqual(rowsTo(count).map((row) => row.id));
  }
  expect(walk(rowsTo(50_000)).requests).toBe(220);
});

test('rows that stay are seen, whatever is deleted and comes back meanwhile', () => {
  const change = fc.record({
    removes: fc.integer({ min: 0, max: 9 }),
    restores: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 900 }),
      fc.array(change, { maxLength: 60 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
        minLength: 50,
        maxLength: 50,
      }),
      (count, changes, chances) => {
        const rows = rowsTo(count);
        const gone: Row[] = [];
        const wasAway = new Set<number>();
        let at = 0;
        const chance = (): number => chances[at++ % chances.length] ?? 0;
        const { found } = walk(rows, {
          limit: 50,
          between: () => {
            const { removes, restores } = changes.shift() ?? { removes: 0, restores: 0 };
            for (let left = removes; left > 0 && rows.length > 0; left--) {
              const [row] = rows.splice(Math.floor(chance() * rows.length), 1);
              if (row) gone.push(row);
              if (row) wasAway.add(row.id);
            }
            for (let left = restores; left > 0 && gone.length > 0; left--) {
              const [back] = gone.splice(Math.floor(chance() * gone.length), 1);
              if (back) rows.push(back);
            }
            rows.sort((left, right) => left.id - right.id);
          },
        });
        const seen = new Set(found);
        // What came back may have been away when its page was read: an edit tells of it.
        const stayed = rows.filter((row) => !wasAway.has(row.id));
        expect(stayed.filter((row) => !seen.has(row.id))).toEqual([]);
        expect(seen.size).toBe(found.length);
      },
    ),
    { numRuns: 300 },
  );
});

test('a whole page that is deleted behind us has the pages before read again', () => {
  const rows = rowsTo(2_000);
  let requests = 0;
  const { found } = walk(rows, {
    between: () => {
      if (++requests === 3) rows.splice(0, 600);
    },
  });
  expect(found).toEqual(rowsTo(2_000).map((row) => row.id));
});

test('a walk goes on where it was broken off, with shorter pages too', () => {
  const rows = rowsTo(900);
  let state = beginIdWalk(250);
  const found: number[] = [];
  const step = (): void => {
    const { page, limit } = state.ask!;
    const taken = takeIdPage(state, rows.slice((page - 1) * limit, page * limit));
    state = taken.walk;
    found.push(...taken.fresh.map((row) => row.id));
  };
  step();
  step();
  const { lastId, taken } = state;
  rows.splice(10, 100);
  state = beginIdWalk(250, { lastId, taken });
  step();
  state = shortenPages(state, 50);
  expect(state.ask!.limit).toBeLessThanOrEqual(50);
  while (state.ask) step();
  expect(found).toEqual(rowsTo(900).map((row) => row.id));
});
