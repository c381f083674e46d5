import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clampRange, parseRange } from '../../../platform/media/range.ts';

type Case = [header: string | undefined, size: number, answer: ReturnType<typeof parseRange>];

const HUGE = '9'.repeat(400);

const RANGES: Case[] = [
  ['bytes=0-0', 10, { start: 0, end: 0 }],
  ['bytes=0-1', 10, { start: 0, end: 1 }],
  ['bytes=3-5', 10, { start: 3, end: 5 }],
  ['bytes=9-9', 10, { start: 9, end: 9 }],
  ['bytes=0-9', 10, { start: 0, end: 9 }],
  ['bytes=0-10', 10, { start: 0, end: 9 }],
  ['bytes=8-999', 10, { start: 8, end: 9 }],
  [`bytes=1-${HUGE}`, 10, { start: 1, end: 9 }],
  ['bytes=0-', 10, { start: 0, end: 9 }],
  ['bytes=9-', 10, { start: 9, end: 9 }],
  ['bytes=007-008', 10, { start: 7, end: 8 }],
  ['bytes=-1', 10, { start: 9, end: 9 }],
  ['bytes=-10', 10, { start: 0, end: 9 }],
  ['bytes=-11', 10, { start: 0, end: 9 }],
  [`bytes=-${HUGE}`, 10, { start: 0, end: 9 }],
  ['BYTES=3-5', 10, { start: 3, end: 5 }],
  ['bytes= 3-5 ', 10, { start: 3, end: 5 }],
  ['bytes=0-0', 1, { start: 0, end: 0 }],
];

const UNSATISFIABLE: Case[] = [
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=10-12', 10, 'unsatisfiable'],
  [`bytes=${HUGE}-`, 10, 'unsatisfiable'],
  [`bytes=${HUGE}-${HUGE}`, 10, 'unsatisfiable'],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=-000', 10, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
  ['bytes=0-0', 0, 'unsatisfiable'],
  ['bytes=-0', 0, 'unsatisfiable'],
];

const WHOLE: Case[] = [
  [undefined, 10, 'whole'],
  ['', 10, 'whole'],
  ['bytes', 10, 'whole'],
  ['bytes=', 10, 'whole'],
  ['bytes=-', 10, 'whole'],
  ['bytes=5-4', 10, 'whole'],
  [`bytes=${HUGE}1-${HUGE}0`, 10, 'whole'],
  ['bytes=a-b', 10, 'whole'],
  ['bytes=1.5-3', 10, 'whole'],
  ['bytes=+1-3', 10, 'whole'],
  ['bytes=1--3', 10, 'whole'],
  ['bytes=--3', 10, 'whole'],
  ['bytes=0x1-3', 10, 'whole'],
  ['bytes=1 - 3', 10, 'whole'],
  ['bytes =1-3', 10, 'whole'],
  ['bytes=0-1,3-4', 10, 'whole'],
  ['bytes=0-1,', 10, 'whole'],
  ['items=0-1', 10, 'whole'],
  ['bytes=0-1\n', 10, 'whole'],
  ['bytes=١-٢', 10, 'whole'],
  ['bytes=-5', 0, 'whole'],
];

describe('a Range header', () => {
  it.each(RANGES)('names a part: %j of %i bytes', (header, size, answer) => {
    expect(parseRange(header, size)).toEqual(answer);
  });

  it.each(UNSATISFIABLE)('is beyond the file: %j of %i bytes', (header, size, answer) => {
    expect(parseRange(header, size)).toBe(answer);
  });

  it.each(WHOLE)('is absent or ignored: %j of %i bytes', (header, size, answer) => {
    expect(parseRange(header, size)).toBe(answer);
  });

  it('never leads out of the file, whatever it says', () => {
    const part = fc.oneof(fc.constant(''), fc.bigInt({ min: 0n, max: 1n << 70n }).map(String));
    const sizes = fc.integer({ min: 0, max: 2 ** 31 });
    fc.assert(
      fc.property(part, part, sizes, (first, last, size) => {
        const range = parseRange(`bytes=${first}-${last}`, size);
        if (typeof range === 'string') return;
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.start).toBeLessThanOrEqual(range.end);
        expect(range.end).toBeLessThan(size);
        expect(clampRange(range, size)).toEqual(range);
      }),
    );
  });
});
