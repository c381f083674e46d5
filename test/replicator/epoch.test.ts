import { describe, expect, test } from 'vitest';
import { toLsn, type Lsn } from '../../domain/lsn.ts';
import type { ControlState, EpochIdentity } from '../../platform/cache/types.ts';
import { baseOf, judgeEpoch, type SlotFacts } from '../../replicator/epoch.ts';

const lsn = (value: number): Lsn => toLsn(BigInt(value));
const identity: EpochIdentity = { systemId: '1', timeline: 1, slot: 's', publication: 'p' };
const control: ControlState = {
  ...identity,
  epoch: { id: 'e', base: lsn(9) },
  term: 1,
  runId: 'r',
  position: lsn(100),
};
const usable: SlotFacts = { state: 'usable', confirmed: lsn(90), currentLsn: lsn(200) };

type Case = {
  name: string;
  control?: Partial<ControlState> | 'none';
  identity?: Partial<EpochIdentity>;
  runId?: string;
  slot?: SlotFacts;
  lostEpoch?: string;
  verdict: string;
};

const CASES: readonly Case[] = [
  { name: 'nothing changed', verdict: 'keep' },
  {
    name: 'the slot stands exactly at the position',
    slot: { ...usable, confirmed: lsn(100) },
    verdict: 'keep',
  },
  {
    name: 'an epoch was opened and nothing written yet',
    slot: { ...usable, confirmed: lsn(101) },
    verdict: 'keep',
  },
  {
    name: 'Redis and slot are empty',
    control: 'none',
    slot: { state: 'missing' },
    verdict: 'first_start remake',
  },
  { name: 'Redis is empty, the slot is not', control: 'none', verdict: 'redis_lost' },
  {
    name: 'Redis is empty and the slot is lost',
    control: 'none',
    slot: { state: 'lost' },
    verdict: 'redis_lost remake',
  },
  { name: 'Redis was restarted', runId: 'other', verdict: 'redis_restarted' },
  { name: 'Redis lost something of this epoch', lostEpoch: 'e', verdict: 'redis_lost' },
  { name: 'Redis lost something of an epoch that is over', lostEpoch: 'd', verdict: 'keep' },
  { name: 'the slot was dropped', slot: { state: 'missing' }, verdict: 'slot_missing remake' },
  { name: 'the slot is lost', slot: { state: 'lost' }, verdict: 'slot_lost remake' },
  {
    name: 'somebody moved the slot',
    slot: { ...usable, confirmed: lsn(102) },
    verdict: 'slot_skipped remake',
  },
  {
    name: 'what the slot holds cannot be read any more',
    slot: { state: 'unreadable' },
    verdict: 'slot_unreadable remake',
  },
  {
    name: 'the database was put back',
    slot: { ...usable, confirmed: lsn(50), currentLsn: lsn(99) },
    verdict: 'wal_behind remake',
  },
  { name: 'another cluster', identity: { systemId: '2' }, verdict: 'system' },
  {
    name: 'another cluster without a slot',
    identity: { systemId: '2' },
    slot: { state: 'missing' },
    verdict: 'system remake',
  },
  { name: 'a standby was promoted', identity: { timeline: 2 }, verdict: 'timeline' },
  { name: 'another slot is configured', identity: { slot: 't' }, verdict: 'slot_renamed' },
  { name: 'other columns are published', identity: { publication: 'q' }, verdict: 'publication' },
];

describe('the epoch', () => {
  test.each(CASES)(
    '[R22] $name: $verdict',
    ({
      control: changed = {},
      identity: other,
      runId = 'r',
      slot = usable,
      lostEpoch,
      verdict,
    }) => {
      const known = changed === 'none' ? undefined : { ...control, ...changed };
      const answer = judgeEpoch(known, { ...identity, ...other }, { runId, lostEpoch }, slot);
      const text =
        answer.kind === 'keep' ? 'keep' : `${answer.reason}${answer.remakeSlot ? ' remake' : ''}`;
      expect(text).toBe(verdict);
    },
  );

  test('its base is before the first record that may follow', () => {
    expect(baseOf(lsn(100))).toBe(lsn(99));
    expect(baseOf(lsn(0))).toBe(lsn(0));
  });
});
