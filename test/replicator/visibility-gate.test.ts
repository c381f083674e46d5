import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isVisible, parseSnapshot, widenXid } from '../../replicator/visibility-gate.ts';

describe('snapshots', () => {
  test('are read with and without transactions in progress', () => {
    expect(parseSnapshot('10:20:')).toEqual({ xmax: 20n, inProgress: new Set() });
    expect(parseSnapshot('10:20:11,15')).toEqual({ xmax: 20n, inProgress: new Set([11n, 15n]) });
    expect(() => parseSnapshot('')).toThrow('not a snapshot');
  });

  test('a transaction is visible below xmax when it is not in progress', () => {
    const snapshot = parseSnapshot('10:20:11,15');
    expect([9, 10, 11, 15, 19, 20, 21].map((xid) => isVisible(snapshot, xid))).toEqual([
      true,
      true,
      false,
      false,
      true,
      false,
      false,
    ]);
    expect(isVisible(snapshot, 0)).toBe(true);
  });
});

describe('32-bit transaction numbers', () => {
  test('[R14] are widened to what lies within 2^31 of the snapshot, across every wrap-around', () => {
    const near = fc.bigInt({ min: -(2n ** 31n) + 1n, max: 2n ** 31n - 1n });
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 31n, max: 2n ** 60n }), near, (xmax, distance) => {
        const wide = xmax + distance;
        expect(widenXid(Number(BigInt.asUintN(32, wide)), xmax)).toBe(wide);
      }),
    );
  });

  test('[R14] a commit from before a wrap-around is visible, one from after it is not yet', () => {
    const snapshot = {
      xmax: (7n << 32n) + 5n,
      inProgress: new Set([(7n << 32n) + 3n, (7n << 32n) - 1n]),
    };
    expect(isVisible(snapshot, 0xfffffff0)).toBe(true);
    expect(isVisible(snapshot, 0xffffffff)).toBe(false);
    expect(isVisible(snapshot, 3)).toBe(false);
    expect(isVisible(snapshot, 4)).toBe(true);
    expect(isVisible(snapshot, 6)).toBe(false);
  });
});
