import type { Cursor } from '../../domain/cursor.ts';
import type { ResyncReason } from '../../domain/feed-protocol.ts';
import type { AccountCommit } from '../../domain/change.ts';
import { HistoryTrimmedError, type AccountLog } from '../../platform/cache/account-log.ts';
import type { Log } from '../../platform/log.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { selectChanges } from './audience.ts';
import { encodeCommitFrames } from './frame.ts';
import type { Hub } from './hub.ts';
import { AHEAD_TIMEOUT_MS } from './limits.ts';
import type { Member, Subscription } from './room.ts';
import type { Slots } from './slots.ts';

/** What catching up needs of a session beside what a room knows. */
export type Resumer = Member & {
  readonly accountId: number;
  /** Resolves when the principal is known again; false when the session is over. */
  cleared(): Promise<boolean>;
  /** Ends one subscription: its client reads again and subscribes anew. */
  resyncOne(subscription: Subscription, reason: ResyncReason): void;
  closeUnavailable(): void;
};

type Options = {
  readonly hub: Hub;
  readonly accountLog: Pick<AccountLog, 'read'>;
  readonly slots: Slots;
  readonly metrics: Metrics;
  readonly log: Log;
};

/**
 * Serves a subscription from its account's log until it has caught up with the hub, and makes it live in the very turn
 * in which it has: between that look and attach() nothing can be delivered. The same way serves a resume, a burst that
 * was too large for one turn, and what a session missed while its principal was being read again.
 */
export class History {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  /** A new subscription: from a cursor, or from now. */
  async begin(
    member: Resumer,
    subscription: Subscription,
    since: Cursor | undefined,
  ): Promise<void> {
    const { hub } = this.#options;
    if (since && since.epoch !== hub.epoch?.id) return member.resyncOne(subscription, 'epoch');
    const target = since?.lsn ?? hub.epoch?.base;
    if (target === undefined) return member.closeUnavailable();
    const isReached = await hub.reached(member.accountId, target, AHEAD_TIMEOUT_MS);
    if (isOver(subscription)) return;
    if (!isReached)
      return since ? member.resyncOne(subscription, 'ahead') : member.closeUnavailable();
    subscription.after = since?.lsn ?? hub.through(member.accountId) ?? target;
    await this.catchUp(member, subscription);
  }

  /** From `subscription.after`. Never throws: what goes wrong ends the subscription or the socket, in words. */
  async catchUp(member: Resumer, subscription: Subscription): Promise<void> {
    // Never within the delivery that sent us here: its commit is behind the hub's position only when it is over.
    await Promise.resolve();
    while (!(await this.#attachIfCaughtUp(member, subscription))) {
      // A slot is for reading the log: who must wait for his own reader waits without one, or a few slow readers would
      // keep everybody else from resuming.
      if (!(await member.connection.writable())) return;
      if (isOver(subscription)) return;
      const release = await this.#options.slots.take(member.accountId);
      try {
        if (!(await this.#readOn(member, subscription))) return;
      } catch (error) {
        return this.#fail(member, subscription, error);
      } finally {
        release();
      }
    }
  }

  /** Sends whole commits until the hub is reached or the socket is full. False when there is nothing more to do. */
  async #readOn(member: Resumer, subscription: Subscription): Promise<boolean> {
    const { hub, accountLog } = this.#options;
    const { accountId, connection } = member;
    const { epoch } = hub;
    const upTo = hub.through(accountId);
    if (!epoch || upTo === undefined || isOver(subscription)) return false;
    const { after } = subscription;
    for await (const commit of accountLog.read({ accountId, epoch: epoch.id, after, upTo })) {
      if (!(await this.#send(member, subscription, commit, epoch.id))) return false;
      subscription.after = commit.lsn;
      if (!connection.hasRoom) return true;
    }
    if (isOver(subscription)) return false;
    subscription.after = upTo;
    return true;
  }

  /** True when there is nothing more to do: it is live, or over. */
  async #attachIfCaughtUp(member: Resumer, subscription: Subscription): Promise<boolean> {
    const { hub } = this.#options;
    while (!isOver(subscription) && !member.principal) {
      if (!(await member.cleared())) return true;
    }
    if (isOver(subscription)) return true;
    const through = hub.through(member.accountId);
    if (through === undefined || subscription.after < through) return false;
    hub.attach(member.accountId, subscription);
    if (!subscription.isAnnounced) {
      subscription.isAnnounced = true;
      const cursor = hub.cursorAt(subscription.after);
      member.connection.send({ type: 'subscribed', id: subscription.id, cursor });
    }
    return true;
  }

  /** One commit at the socket's pace. False when the subscription is over. */
  async #send(
    member: Resumer,
    subscription: Subscription,
    commit: AccountCommit,
    epoch: string,
  ): Promise<boolean> {
    while (!member.principal) {
      if (!(await member.cleared())) return false;
    }
    if (isOver(subscription)) return false;
    const changes = selectChanges(commit, subscription.audience);
    if (changes.length === 0) return true;
    const frames = encodeCommitFrames({ commit, epoch, id: subscription.id, changes });
    this.#options.metrics.feedEncodings.inc(frames.length);
    for (const frame of frames) {
      if (!(await member.connection.writable())) return false;
      // Revoked while we waited: what this commit still has to say waits for the answer, too.
      while (!member.principal) {
        if (!(await member.cleared())) return false;
      }
      if (isOver(subscription)) return false;
      member.connection.sendFrame(frame);
    }
    return true;
  }

  #fail(member: Resumer, subscription: Subscription, error: unknown): void {
    if (isOver(subscription)) return;
    if (error instanceof HistoryTrimmedError) return member.resyncOne(subscription, 'history');
    if (error instanceof ClarinError && error.code === 'unavailable') {
      this.#options.log.warn({ error, account: member.accountId }, 'a resume cannot read the log');
      return member.closeUnavailable();
    }
    // The log is not whole: it must not be trusted, and its reader must not be left in the dark.
    this.#options.log.error({ error, account: member.accountId }, 'a log cannot be read');
    member.resyncOne(subscription, 'history');
  }
}

/** A function, because the state changes while we wait and the compiler cannot know. */
function isOver(subscription: Subscription): boolean {
  return subscription.state === 'over';
}
