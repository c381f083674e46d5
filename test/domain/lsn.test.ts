import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatCursor, parseCursor } from '../../domain/cursor.ts';
import { formatLsn, lsnFromHex, lsnToHex, parseLsn, toLsn } from '../../domain/lsn.ts';

const lsns = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }).map(toLsn);

describe('LSNs', () => {
  it('survive both text forms', () => {
    fc.assert(
      fc.property(lsns, (lsn) => {
        expect(parseLsn(formatLsn(lsn))).toBe(lsn);
        expect(lsnFromHex(lsnToHex(lsn))).toBe(lsn);
      }),
    );
  });

  it('compare as text in the form kept in Redis', () => {
    fc.assert(
      fc.property(lsns, lsns, (left, right) => {
        expect(lsnToHex(left) < lsnToHex(right)).toBe(left < right);
      }),
    );
  });

  it('are read in both paddings and refused when they are something else', () => {
    expect(parseLsn('16/B374D848')).toBe(parseLsn('00000016/b374d848'));
    for (const text of ['', '16', '/1', '1/', 'x/1', '123456789/1', '1/123456789', '1/2/3']) {
      expect(parseLsn(text)).toBeUndefined();
    }
    expect(() => toLsn(-1n)).toThrow(RangeError);
  });
});

describe('cursors', () => {
  it('survive their text form', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]{1,13}$/), lsns, (epoch, lsn) => {
        expect(parseCursor(formatCursor({ epoch, lsn }))).toEqual({ epoch, lsn });
      }),
    );
  });

  it('are refused when they are something else', () => {
    for (const text of ['', '.', 'a.', '.0/0', 'A.0/0', 'a.b', `a.0/0${'0'.repeat(80)}`]) {
      expect(parseCursor(text)).toBeUndefined();
    }
  });
});
