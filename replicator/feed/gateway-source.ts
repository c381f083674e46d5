import { cursorOfPosition } from '../../domain/cursor.ts';
import { ClarinError } from '../../domain/errors.ts';
import { maxLsn, type Lsn } from '../../domain/lsn.ts';
import {
  HistoryTrimmedError,
  type AccountLog,
  type LogMessage,
  type LogWatcher,
} from '../../platform/cache/account-log.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { AccountSource, Hub } from './hub.ts';

type Options = {
  readonly hub: Hub;
  readonly accountLog: AccountLog;
  readonly watcher: LogWatcher;
  readonly metrics: Metrics;
  readonly log: Log;
};

type Feed = {
  readonly accountId: number;
  readonly epoch: string;
  isPumping: boolean;
  target: Lsn;
  /** Newest commit that the channel has told of. */
  announced: Lsn;
};

/**
 * Commits of the accounts that have sockets here, read from their logs. A message on an account's channel only says
 * that there is something to read: what is read is always the range behind what has been delivered, so that a lost
 * message costs time (until the next poll) and never a commit.
 */
export class GatewaySource implements AccountSource {
  readonly #options: Options;
  readonly #feeds = new Map<number, Feed>();
  /** Cursor of the newest global position seen: every commit at or before it is in the logs. */
  #reached: Lsn | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  async open(accountId: number): Promise<Lsn> {
    const { hub, accountLog, watcher } = this.#options;
    const { epoch } = hub;
    // It may have stepped down since this socket was accepted.
    if (!epoch) throw new ClarinError('unavailable', 'the feed serves nobody now; reconnect');
    const feed: Feed = {
      accountId,
      epoch: epoch.id,
      isPumping: false,
      target: epoch.base,
      announced: epoch.base,
    };
    this.#feeds.set(accountId, feed);
    // The channel first: what is applied after the watermark was read is announced or polled.
    await watcher.watch(accountId, epoch.id, (message) => this.#onMessage(feed, message));
    const reached = this.#reached ?? epoch.base;
    const watermark = await accountLog.readWatermark(accountId, epoch.id);
    return maxLsn(maxLsn(reached, epoch.base), watermark ?? epoch.base);
  }

  close(accountId: number): void {
    const feed = this.#feeds.get(accountId);
    if (!feed) return;
    this.#feeds.delete(accountId);
    this.#unwatch(feed);
  }

  #unwatch({ accountId, epoch }: Feed): void {
    // Redis may be away; then the channel is gone with its connection.
    this.#options.watcher.unwatch(accountId, epoch).catch(() => undefined);
  }

  /** Redis' connection is new, or the epoch is: every channel anew. @throws ClarinError unavailable. */
  async reopen(): Promise<void> {
    const { hub, log } = this.#options;
    this.#reached = undefined;
    for (const feed of this.#feeds.values()) this.#unwatch(feed);
    this.#feeds.clear();
    for (const accountId of hub.accounts()) {
      const applied = await this.open(accountId);
      hub.serveFrom(accountId, applied);
      const feed = this.#feeds.get(accountId);
      if (feed) await this.#pump(feed, applied);
    }
    log.info({ accounts: this.#feeds.size }, 'watching the accounts that have sockets here');
  }

  /** The global position as it was just read: every account is brought up to it. */
  async advance(position: Lsn): Promise<void> {
    const epoch = this.#options.hub.epoch?.id ?? '';
    const reached = cursorOfPosition(epoch, position).lsn;
    this.#reached = this.#reached === undefined ? reached : maxLsn(this.#reached, reached);
    await Promise.all([...this.#feeds.values()].map((feed) => this.#pump(feed, reached)));
  }

  #onMessage(feed: Feed, message: LogMessage): void {
    if (this.#feeds.get(feed.accountId) !== feed) return;
    if (message.kind === 'signal') return this.#options.hub.signal(feed.accountId, message.json);
    feed.announced = maxLsn(feed.announced, message.lsn);
    this.#pump(feed, message.lsn).catch((error: unknown) => {
      this.#options.log.debug(
        { error, account: feed.accountId },
        'a log could not be read; the next poll tries again',
      );
    });
  }

  /** Delivers everything up to `target`; one pump per account at a time, so that order is kept. */
  async #pump(feed: Feed, target: Lsn): Promise<void> {
    feed.target = maxLsn(feed.target, target);
    if (feed.isPumping) return;
    feed.isPumping = true;
    try {
      for (;;) {
        const through = this.#options.hub.through(feed.accountId);
        if (!this.#isCurrent(feed) || through === undefined || through >= feed.target) return;
        await this.#deliverRange(feed, through, feed.target);
      }
    } finally {
      feed.isPumping = false;
    }
  }

  async #deliverRange(feed: Feed, after: Lsn, upTo: Lsn): Promise<void> {
    const { hub, accountLog, metrics, log } = this.#options;
    const { accountId, epoch } = feed;
    try {
      for await (const commit of accountLog.read({ accountId, epoch, after, upTo })) {
        if (!this.#isCurrent(feed)) return;
        if (commit.lsn > feed.announced) metrics.healedCommits.inc();
        hub.deliverTo(accountId, [commit], commit.lsn);
      }
      if (this.#isCurrent(feed)) hub.deliverTo(accountId, [], upTo);
    } catch (error) {
      if (!(error instanceof HistoryTrimmedError) || !this.#isCurrent(feed)) throw error;
      log.warn(
        { account: accountId },
        'a log was cut before it was read here; its subscribers read again',
      );
      hub.resync(accountId, 'history', maxLsn(upTo, error.trimmed));
    }
  }

  #isCurrent(feed: Feed): boolean {
    return this.#feeds.get(feed.accountId) === feed && this.#options.hub.epoch?.id === feed.epoch;
  }
}
