import type { Clock } from './clock.ts';
import type { Change } from './model.ts';
import type { Random } from './random.ts';
import type { WorldSettings } from './settings.ts';

/** What every part of one account's world has in common. */
export type Core = {
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: WorldSettings;
  readonly accountId: number;
  nextId(kind: IdKind): number;
  /** Unix seconds. */
  seconds(): number;
  /** When what changes now reaches the lists, milliseconds. */
  listedFromMs(): number;
  tell(change: Change): void;
};

/** Kommo's ids are one sequence for all accounts: here each account has its own stretch, the same in every run. */
const FIRST = {
  lead: 20_000_000,
  contact: 40_000_000,
  pipeline: 7_000_000,
  status: 70_000_000,
  tag: 300_000_000,
  user: 9_000_000,
  field: 500_000_000,
  enum: 880_000_000,
  lossReason: 60_000_000,
  webhook: 830_000_000,
} as const;
export type IdKind = keyof typeof FIRST;
const IDS_OF_AN_ACCOUNT = 1_000_000;

export const FIRST_ACCOUNT_ID = 31_000_001;

/** `account`: 0 for the first one. */
export function createIds(account: number): (kind: IdKind) => number {
  const used = new Map<IdKind, number>();
  return (kind) => {
    const count = (used.get(kind) ?? 0) + 1;
    used.set(kind, count);
    return FIRST[kind] + account * IDS_OF_AN_ACCOUNT + count;
  };
}

/** A span of the setting's, milliseconds; draws nothing when it is always the same. */
export function drawDelay(random: Random, [from, to]: readonly [number, number]): number {
  return from === to ? from : from + random.next() * (to - from);
}
