import type { AccountCommit } from '../../domain/change.ts';
import { toLsn, type Lsn } from '../../domain/lsn.ts';
import type { ResyncReason, SubscribedTable } from '../../domain/feed-protocol.ts';
import type { Principal } from '../../domain/permission.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { selectChanges, type Audience } from './audience.ts';
import type { Connection } from './connection.ts';
import { isConcerned, whoIsConcerned } from './control-change.ts';
import { encodeCommitFrames, measureChanges } from './frame.ts';
import { FLUSH_ABOVE_BYTES, TURN_BYTES_MAX } from './limits.ts';
import { mayReceive, type Signal } from './signal.ts';

/**
 * States of a subscription. `behind`: not in its room; everything up to `after` has been handed to its socket and the
 * rest is read from the log. `live`: in its room, served by deliver(). `over`: ended, for whatever reason.
 */
export type Subscription = {
  readonly id: string;
  readonly member: Member;
  readonly tables: readonly SubscribedTable[];
  audience: Audience;
  state: 'behind' | 'live' | 'over';
  after: Lsn;
  /** The client has been told `subscribed`: heartbeats speak for it, too. */
  isAnnounced: boolean;
};

/** What a room knows of a session. */
export type Member = {
  readonly connection: Connection;
  /** The login it rests on; two while a fresh token is being checked. */
  readonly sessionIds: readonly number[];
  /** Undefined while it is not known or being read again: nothing may be sent then. */
  readonly principal: Principal | undefined;
  /** The principal may have changed with the commit behind `before`: nothing after `before` until it was read again. */
  hold(before: Lsn): void;
  /** Serve this subscription from the log, from behind `before`. */
  fallBehind(subscription: Subscription, before: Lsn): void;
  heartbeat(through: Lsn, frame: Buffer): void;
  /** Ends every subscription and tells why; the principal is read again. */
  resync(reason: ResyncReason): void;
  closeSlow(): void;
  closeRestarting(): void;
};

type Topic = { readonly audience: Audience; readonly subscriptions: Set<Subscription> };

export type Turn = {
  readonly epoch: string;
  /** Connections to flush when the turn is over. */
  readonly dirty: Set<Connection>;
  /** Queued for them, each counted for itself. */
  bytes: number;
};

/** One account's sockets here. Frames are encoded once per topic, that is per distinct subscription. */
export class Room {
  readonly accountId: number;
  readonly members = new Set<Member>();
  /** Every commit of this account up to it has been delivered here; undefined where the hub's own position says it. */
  through: Lsn | undefined;
  readonly #topics = new Map<string, Topic>();
  readonly #metrics: Metrics;

  constructor(options: { accountId: number; metrics: Metrics }) {
    this.accountId = options.accountId;
    this.#metrics = options.metrics;
  }

  attach(subscription: Subscription): void {
    const { key } = subscription.audience;
    let topic = this.#topics.get(key);
    if (!topic) {
      topic = { audience: subscription.audience, subscriptions: new Set() };
      this.#topics.set(key, topic);
    }
    topic.subscriptions.add(subscription);
    subscription.state = 'live';
  }

  detach(subscription: Subscription): void {
    const { key } = subscription.audience;
    const topic = this.#topics.get(key);
    if (!topic?.subscriptions.delete(subscription)) return;
    if (topic.subscriptions.size === 0) this.#topics.delete(key);
  }

  /** Whether somebody here is told of changes of this table. */
  watches(table: string): boolean {
    for (const { subscriptions } of this.#topics.values()) {
      // Those of one topic have subscribed to the same.
      const [any] = subscriptions;
      if (any?.tables.some((subscribed) => subscribed.table === table)) return true;
    }
    return false;
  }

  /** Hands one commit to every live subscription it concerns, whole or not at all. */
  deliver(commit: AccountCommit, turn: Turn): void {
    const before = toLsn(commit.lsn - 1n);
    const concerned = whoIsConcerned(commit.changes);
    if (concerned !== 'nobody') {
      for (const member of this.members) {
        if (member.sessionIds.some((id) => isConcerned(concerned, id))) member.hold(before);
      }
    }
    for (const topic of this.#topics.values()) this.#deliverTo(topic, commit, turn);
    if (turn.bytes < FLUSH_ABOVE_BYTES) return;
    for (const connection of turn.dirty) connection.flush();
    turn.dirty.clear();
    turn.bytes = 0;
  }

  #deliverTo(topic: Topic, commit: AccountCommit, turn: Turn): void {
    const before = toLsn(commit.lsn - 1n);
    const changes = selectChanges(commit, topic.audience);
    if (changes.length === 0) return;
    if (measureChanges(changes) > TURN_BYTES_MAX) {
      for (const subscription of topic.subscriptions)
        subscription.member.fallBehind(subscription, before);
      return;
    }
    let frames: Buffer[] | undefined;
    let bytes = 0;
    for (const subscription of topic.subscriptions) {
      frames ??= encodeCommitFrames({ commit, epoch: turn.epoch, id: subscription.id, changes });
      if (bytes === 0) {
        this.#metrics.feedEncodings.inc(frames.length);
        for (const frame of frames) bytes += frame.length;
      }
      const { member } = subscription;
      const offer = member.connection.offer(frames, bytes);
      if (offer === 'queued') {
        turn.dirty.add(member.connection);
        turn.bytes += bytes;
      } else if (offer === 'later') member.fallBehind(subscription, before);
      else member.closeSlow();
    }
  }

  signal(signal: Signal, turn: Pick<Turn, 'dirty'>): void {
    for (const member of this.members) {
      if (!member.principal || !mayReceive(signal, member.principal)) continue;
      // A signal is never worth a close: a reader that has no room for it goes without.
      const offer = member.connection.offer([signal.frame], signal.frame.length);
      if (offer === 'queued') turn.dirty.add(member.connection);
    }
  }
}
