import type { AccountCommit } from '../../domain/change.ts';
import { cursorOfPosition, formatCursor } from '../../domain/cursor.ts';
import type { ResyncReason } from '../../domain/feed-protocol.ts';
import { LSN_ZERO, maxLsn, type Lsn } from '../../domain/lsn.ts';
import type { Epoch } from '../../platform/cache/types.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Connection } from './connection.ts';
import { encodeMessage } from './frame.ts';
import { Room, type Member, type Subscription, type Turn } from './room.ts';
import { parseSignal } from './signal.ts';

/** Where a gateway's commits come from: one account at a time, while it has sockets here. */
export type AccountSource = {
  /** Resolves with what has been applied for the account so far: deliverTo() follows from there. @throws ClarinError. */
  open(accountId: number): Promise<Lsn>;
  close(accountId: number): void;
};

type Waiter = {
  accountId: number;
  lsn: Lsn;
  resolve: (isReached: boolean) => void;
  timer: NodeJS.Timeout;
};

/**
 * Accounts, their distinct subscriptions, and how far each has been served.
 *
 * *Through* is a cursor: every commit of the account whose record begins at or before it has been delivered. It is one
 * byte short of the position, where the next commit record may begin (hazards H1), or the newest commit delivered.
 * Commits at or before it are replays and are skipped.
 *
 * Everything here is synchronous: between a look at `through` and attach() nothing can be delivered, and that is what
 * makes `subscribed` true.
 */
export class Hub {
  readonly #metrics: Metrics;
  readonly #log: Log;
  #source: AccountSource | undefined;
  readonly #rooms = new Map<number, Room>();
  readonly #waiters = new Set<Waiter>();
  #epoch: Epoch | undefined;
  #position: Lsn | undefined;
  /** Newest commit delivered to anybody. */
  #newest: Lsn = LSN_ZERO;

  constructor(options: { metrics: Metrics; log: Log }) {
    this.#metrics = options.metrics;
    this.#log = options.log;
  }

  get epoch(): Epoch | undefined {
    return this.#epoch;
  }

  get position(): Lsn | undefined {
    return this.#position;
  }

  accountsWatching(table: string): number[] {
    return [...this.#rooms.values()]
      .filter((room) => room.watches(table))
      .map(({ accountId }) => accountId);
  }

  /** For a gateway, before its first socket. */
  useSource(source: AccountSource): void {
    this.#source = source;
  }

  /**
   * Starts to serve an epoch. The same one again changes nothing, its position least of all: what was applied but not
   * delivered when the stream broke comes again. Another one ends all subscriptions with a resync. Without `position`
   * subscriptions wait for the first deliver() or heartbeat() to learn it.
   */
  openEpoch(epoch: Epoch, position?: Lsn): void {
    const isNew = this.#epoch?.id !== epoch.id;
    this.#epoch = epoch;
    if (isNew) {
      this.#position = position;
      this.#newest = LSN_ZERO;
      for (const room of this.#rooms.values()) {
        room.through = undefined;
        for (const member of room.members) member.resync('epoch');
      }
      this.#log.info({ epoch: epoch.id }, 'the feed serves an epoch');
    } else this.#position ??= position;
    this.#wake();
  }

  /** No longer leader, or cut off from what feeds this hub: sockets are asked to come again, elsewhere or later. */
  stepDown(): void {
    if (!this.#epoch) return;
    this.#epoch = undefined;
    this.#position = undefined;
    for (const room of this.#rooms.values()) {
      for (const member of room.members) member.closeRestarting();
    }
    this.#log.info('the feed serves no epoch');
  }

  /**
   * Commits in commit order, of any accounts, after they were applied. `position`: all commits that end at or before
   * it have been delivered with this call. Commits that were delivered before are skipped.
   */
  deliver(commits: readonly AccountCommit[], position: Lsn): void {
    const epoch = this.#mustBeOpen();
    const turn = { epoch: epoch.id, dirty: new Set<Connection>(), bytes: 0 };
    for (const commit of commits) {
      const room = this.#rooms.get(commit.accountId);
      if (room) this.#deliverToRoom(room, commit, turn);
    }
    for (const connection of turn.dirty) connection.flush();
    const last = commits[commits.length - 1];
    if (last) this.#newest = maxLsn(this.#newest, last.lsn);
    this.#advance(position);
  }

  /** One account's commits, for a gateway. `through`: all of its commits up to it have been delivered with this call. */
  deliverTo(accountId: number, commits: readonly AccountCommit[], through: Lsn): void {
    const epoch = this.#mustBeOpen();
    const room = this.#rooms.get(accountId);
    if (!room) return;
    const turn = { epoch: epoch.id, dirty: new Set<Connection>(), bytes: 0 };
    for (const commit of commits) this.#deliverToRoom(room, commit, turn);
    for (const connection of turn.dirty) connection.flush();
    room.through = room.through === undefined ? through : maxLsn(room.through, through);
    this.#wake();
  }

  #deliverToRoom(room: Room, commit: AccountCommit, turn: Turn): void {
    const through = this.through(room.accountId);
    if (through !== undefined && commit.lsn <= through) return;
    try {
      if (commit.changes.length > 0) room.deliver(commit, turn);
    } catch (error) {
      // A fault here must neither stop the pipeline nor leave a gap: this account's sockets come again and resume.
      this.#log.error({ error, account: room.accountId }, 'a commit could not be delivered');
      for (const member of room.members) member.closeRestarting();
    }
    for (const text of commit.signals) this.#signalRoom(room, text, turn.dirty);
  }

  /** An ephemeral signal of an account, for a gateway: JSON text as the writer announced it. */
  signal(accountId: number, text: string): void {
    const room = this.#rooms.get(accountId);
    if (!room) return;
    const dirty = new Set<Connection>();
    this.#signalRoom(room, text, dirty);
    for (const connection of dirty) connection.flush();
  }

  #signalRoom(room: Room, text: string, dirty: Set<Connection>): void {
    const signal = parseSignal(text);
    if (signal) room.signal(signal, { dirty });
    else this.#log.debug({ account: room.accountId }, 'a signal that is none was ignored');
  }

  /** Once a second: tells every socket how far it has been served. `position` as in deliver(). */
  heartbeat(position?: Lsn): void {
    if (!this.#epoch) return;
    if (position !== undefined) this.#advance(position);
    let known: Lsn | undefined;
    let frame: Buffer | undefined;
    for (const room of this.#rooms.values()) {
      const through = this.through(room.accountId);
      if (through === undefined) continue;
      if (through !== known || !frame) {
        known = through;
        frame = encodeMessage({ type: 'heartbeat', cursor: this.cursorAt(through) });
      }
      for (const member of room.members) member.heartbeat(through, frame);
    }
  }

  /** The account's history is no longer whole here: its subscribers must read again. */
  resync(accountId: number, reason: ResyncReason, through: Lsn): void {
    const room = this.#rooms.get(accountId);
    if (!room) return;
    room.through = through;
    for (const member of room.members) member.resync(reason);
    this.#wake();
  }

  /** The member is told of every control change from here on. @throws ClarinError when its account has no source. */
  async join(accountId: number, member: Member): Promise<void> {
    let room = this.#rooms.get(accountId);
    if (!room) {
      room = new Room({ accountId, metrics: this.#metrics });
      this.#rooms.set(accountId, room);
    }
    room.members.add(member);
    if (!this.#source || room.through !== undefined) return;
    const epoch = this.#epoch?.id;
    const through = await this.#source.open(accountId);
    if (epoch === this.#epoch?.id) this.serveFrom(accountId, through);
  }

  /** Nobody here has asked for older commits yet. Does nothing once the account is served: that would be a gap. */
  serveFrom(accountId: number, through: Lsn): void {
    const room = this.#rooms.get(accountId);
    if (!room || room.through !== undefined) return;
    room.through = through;
    this.#wake();
  }

  leave(accountId: number, member: Member): void {
    const room = this.#rooms.get(accountId);
    if (!room?.members.delete(member) || room.members.size > 0) return;
    this.#rooms.delete(accountId);
    this.#source?.close(accountId);
  }

  attach(accountId: number, subscription: Subscription): void {
    this.#rooms.get(accountId)?.attach(subscription);
  }

  detach(accountId: number, subscription: Subscription): void {
    this.#rooms.get(accountId)?.detach(subscription);
  }

  /** Newest LSN up to which the account has been served whole; undefined while that is not known. */
  through(accountId: number): Lsn | undefined {
    if (this.#source) return this.#rooms.get(accountId)?.through;
    if (this.#epoch === undefined || this.#position === undefined) return undefined;
    const reached = cursorOfPosition(this.#epoch.id, this.#position).lsn;
    return maxLsn(maxLsn(this.#epoch.base, reached), this.#newest);
  }

  /** Cursor text of an LSN in the current epoch. */
  cursorAt(lsn: Lsn): string {
    return formatCursor({ epoch: this.#mustBeOpen().id, lsn });
  }

  /** Cursor of what the account has been served; the epoch's beginning while that is not known. */
  cursor(accountId: number): string {
    return this.cursorAt(this.through(accountId) ?? this.#mustBeOpen().base);
  }

  /** Resolves with true when the account has been served through `lsn`, with false when that takes too long. */
  reached(accountId: number, lsn: Lsn, timeoutMs: number): Promise<boolean> {
    if (this.#isReached(accountId, lsn)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        accountId,
        lsn,
        resolve,
        timer: setTimeout(() => {
          this.#waiters.delete(waiter);
          resolve(false);
        }, timeoutMs),
      };
      waiter.timer.unref();
      this.#waiters.add(waiter);
    });
  }

  stats(): { accounts: number; sockets: number } {
    let sockets = 0;
    for (const room of this.#rooms.values()) sockets += room.members.size;
    return { accounts: this.#rooms.size, sockets };
  }

  /** Accounts with sockets here. */
  accounts(): number[] {
    return [...this.#rooms.keys()];
  }

  #isReached(accountId: number, lsn: Lsn): boolean {
    const through = this.through(accountId);
    return through !== undefined && through >= lsn;
  }

  #advance(position: Lsn): void {
    this.#position = this.#position === undefined ? position : maxLsn(this.#position, position);
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (!this.#isReached(waiter.accountId, waiter.lsn)) continue;
      clearTimeout(waiter.timer);
      this.#waiters.delete(waiter);
      waiter.resolve(true);
    }
  }

  #mustBeOpen(): Epoch {
    if (!this.#epoch) throw new Error('the hub serves no epoch');
    return this.#epoch;
  }
}
