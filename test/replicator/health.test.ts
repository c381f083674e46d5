import { describe, expect, test } from 'vitest';
import { toLsn } from '../../domain/lsn.ts';
import { isSlotLost, judgeSlot, type SlotStatus } from '../../platform/replication-slot.ts';
import { judgeReplicator, type Facts } from '../../replicator/health.ts';

const slot: SlotStatus = {
  name: 's',
  plugin: 'pgoutput',
  database: 'd',
  active: true,
  activePid: 7,
  walStatus: 'reserved',
  restartLsn: toLsn(1n),
  confirmedFlushLsn: toLsn(2n),
  currentLsn: toLsn(3n),
  retainedBytes: 2,
  safeWalBytes: 1_048_576,
  invalidationReason: undefined,
  spill: { transactions: 0, count: 0, bytes: 0 },
  total: { transactions: 0, bytes: 0 },
};
const healthy: Facts = {
  standing: { role: 'leader', trouble: undefined, heartbeatAgeMs: 900, stage: 'idle' },
  slot,
  isRedisReachable: true,
};

const redNames = (facts: Facts): string[] =>
  judgeReplicator(facts)
    .checks.filter((check) => !check.ok)
    .map((check) => check.name);

describe('health', () => {
  test('a leader whose heartbeats come back is green', () => {
    expect(judgeReplicator(healthy)).toMatchObject({ status: 'green' });
  });

  const cases: readonly [string, Partial<Facts>, string[]][] = [
    ['the slot is missing', { slot: undefined }, ['slot']],
    ['nobody reads the slot', { slot: { ...slot, active: false } }, ['slot']],
    [
      'the slot is lost, as Postgres 15 says it',
      { slot: { ...slot, walStatus: 'lost', restartLsn: undefined } },
      ['slot'],
    ],
    [
      'the slot is lost, as Postgres 18 says it',
      { slot: { ...slot, invalidationReason: 'idle_timeout' } },
      ['slot'],
    ],
    ['the slot is about to be lost', { slot: { ...slot, walStatus: 'unreserved' } }, ['slot']],
    ['Postgres does not answer', { slot: new Error('gone') }, ['slot']],
    ['Redis is away', { isRedisReachable: false }, ['redis']],
    [
      'the heartbeat is late',
      { standing: { role: 'leader', trouble: undefined, heartbeatAgeMs: 3_100, stage: 'gate' } },
      ['heartbeat'],
    ],
    [
      'there is no stream',
      {
        standing: { role: 'leader', trouble: 'why', heartbeatAgeMs: undefined, stage: 'no stream' },
      },
      ['leadership', 'heartbeat'],
    ],
    ['nobody leads', { standing: { role: 'standby', isLeaderAlive: false } }, ['leadership']],
    ['it has just begun', { standing: { role: 'starting' } }, ['leadership']],
  ];
  test.each(cases)('[R26] red when %s', (_name, change, names) => {
    expect(redNames({ ...healthy, ...change })).toEqual(names);
  });

  test('a standby of a living leader is green', () => {
    expect(redNames({ ...healthy, standing: { role: 'standby', isLeaderAlive: true } })).toEqual(
      [],
    );
  });

  test('the slot is told in words', () => {
    expect(judgeSlot(slot).says).toBe(
      'read by process 7, 2 B of WAL kept, 1.0 MiB left of the budget',
    );
    expect(isSlotLost(slot)).toBe(false);
  });
});
