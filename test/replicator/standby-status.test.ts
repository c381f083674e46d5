import { describe, expect, test } from 'vitest';
import { toLsn } from '../../domain/lsn.ts';
import { Acker } from '../../replicator/acker.ts';
import { encodeStandbyStatus } from '../../replicator/standby-status.ts';

describe('the standby status', () => {
  test('carries the position exactly, three times, and the clock of Postgres', () => {
    const at = Date.UTC(2000, 0, 1, 0, 0, 1);
    const status = encodeStandbyStatus(toLsn(0x1_ffff_ffffn), at, true);
    expect(status).toHaveLength(34);
    expect(String.fromCharCode(status[0] ?? 0)).toBe('r');
    expect([1, 9, 17].map((offset) => status.readBigUInt64BE(offset))).toEqual(
      Array(3).fill(0x1_ffff_ffffn),
    );
    expect(status.readBigInt64BE(25)).toBe(1_000_000n);
    expect(status[33]).toBe(1);
    expect(encodeStandbyStatus(toLsn(1n), at, false)[33]).toBe(0);
  });
});

describe('the acker', () => {
  test('holds the newest position, never goes back, and begins with nothing', () => {
    const acker = new Acker();
    expect(acker.confirmed).toBe(0n);
    acker.confirm(toLsn(10n));
    acker.confirm(toLsn(5n));
    expect(acker.confirmed).toBe(10n);
  });

  test('is one byte off only through its seam', () => {
    const acker = new Acker({ exactAck: 'off' });
    acker.confirm(toLsn(10n));
    expect(acker.confirmed).toBe(11n);
  });
});
