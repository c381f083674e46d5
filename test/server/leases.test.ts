import { expect, test } from 'vitest';
import { shareOf, surplusOf } from '../../server/ingest/leases.ts';

test('shares are rounded up, so that all leases are with somebody', () => {
  expect(shareOf(40, 1)).toBe(40);
  expect(shareOf(40, 2)).toBe(20);
  expect(shareOf(40, 3)).toBe(14);
  expect(shareOf(1, 3)).toBe(1);
  expect(shareOf(0, 2)).toBe(0);
  // Who asks is always one.
  expect(shareOf(5, 0)).toBe(5);
});

test('what is too much is given back a quarter at a time, and whole in the end', () => {
  expect(surplusOf(20, 20)).toBe(0);
  expect(surplusOf(7, 20)).toBe(0);
  expect(surplusOf(21, 20)).toBe(1);
  let mine = 40;
  const steps: number[] = [];
  while (surplusOf(mine, 20) > 0) {
    steps.push(surplusOf(mine, 20));
    mine -= surplusOf(mine, 20);
  }
  expect(mine).toBe(20);
  expect(steps).toEqual([5, 4, 3, 2, 2, 1, 1, 1, 1]);
});
