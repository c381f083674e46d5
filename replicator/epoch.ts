import type { ControlState, EpochIdentity } from '../platform/cache/types.ts';
import { toLsn, type Lsn } from '../domain/lsn.ts';

/** Why the past can no longer be vouched for. Label of clarin_epoch_changes_total. */
export type EpochReason =
  /** Redis holds nothing and there was no slot: nothing was ever promised. */
  | 'first_start'
  /** Redis holds nothing, but the slot has been in use; or control is there, and what was written elsewhere is not. */
  | 'redis_lost'
  /** Redis holds something from an earlier life, and may have lost the end of it. */
  | 'redis_restarted'
  /** There was no slot although there was an epoch: somebody dropped it. */
  | 'slot_missing'
  /** Its WAL is gone. */
  | 'slot_lost'
  /** What it holds is of tables that have another form by now, or of a publication that is gone. */
  | 'slot_unreadable'
  /** Somebody advanced it: commits went by unseen. */
  | 'slot_skipped'
  /** Another cluster answers. */
  | 'system'
  /** A standby was promoted, or a backup restored. */
  | 'timeline'
  /** The WAL ends before what has been applied: the database was put back to an earlier state. */
  | 'wal_behind'
  /** This installation reads another slot now. */
  | 'slot_renamed'
  /** Other tables or columns are published. */
  | 'publication';

/** What is known of the slot before anything is done about it. */
export type SlotFacts =
  | { readonly state: 'missing' }
  | { readonly state: 'lost' }
  /** It stands, and no replicator will ever get past what it holds. */
  | { readonly state: 'unreadable' }
  | { readonly state: 'usable'; readonly confirmed: Lsn; readonly currentLsn: Lsn };

/** `lostEpoch`: of which Redis has answered that it lost something. Control alone does not show that. */
export type RedisFacts = { readonly runId: string; readonly lostEpoch: string | undefined };

export type EpochVerdict =
  | { readonly kind: 'keep' }
  /** `remakeSlot`: drop it if it is there, and make a new one, whose creation waits for commits that are not visible yet. */
  | { readonly kind: 'new'; readonly reason: EpochReason; readonly remakeSlot: boolean };

/**
 * Pure: the base of an epoch whose stream begins at `confirmed`. Commits *after* the base are told by where their record
 * begins, and the first may begin exactly at `confirmed` (hazard H1), so the base is one byte before it.
 */
export function baseOf(confirmed: Lsn): Lsn {
  return confirmed === 0n ? confirmed : toLsn(confirmed - 1n);
}

/** Pure: true when commits behind `position` went by unseen. It may be one byte short of the slot's (baseOf): no record fits. */
export function hasSkipped(confirmed: Lsn, position: Lsn): boolean {
  return confirmed > position + 1n;
}

/**
 * Pure: whether the epoch in Redis still stands. The first thing that is wrong names the reason.
 */
export function judgeEpoch(
  control: ControlState | undefined,
  identity: EpochIdentity,
  { runId, lostEpoch }: RedisFacts,
  slot: SlotFacts,
): EpochVerdict {
  const fresh = (reason: EpochReason, remakeSlot = slot.state !== 'usable'): EpochVerdict => ({
    kind: 'new',
    reason,
    remakeSlot,
  });
  if (!control) return fresh(slot.state === 'missing' ? 'first_start' : 'redis_lost');
  if (control.systemId !== identity.systemId) return fresh('system');
  if (control.timeline !== identity.timeline) return fresh('timeline');
  if (control.slot !== identity.slot) return fresh('slot_renamed');
  if (slot.state === 'missing') return fresh('slot_missing');
  if (slot.state === 'lost') return fresh('slot_lost');
  if (slot.state === 'unreadable') return fresh('slot_unreadable');
  if (hasSkipped(slot.confirmed, control.position)) return fresh('slot_skipped', true);
  if (slot.currentLsn < control.position) return fresh('wal_behind', true);
  if (control.runId !== runId) return fresh('redis_restarted');
  if (control.epoch.id === lostEpoch) return fresh('redis_lost');
  if (control.publication !== identity.publication) return fresh('publication');
  return { kind: 'keep' };
}
