import type { Cursor } from '../../domain/cursor.ts';
import { ClarinError, type ErrorCode } from '../../domain/errors.ts';
import { CLOSE, SUBSCRIPTIONS_MAX, type ResyncReason } from '../../domain/feed-protocol.ts';
import { LSN_ZERO, type Lsn } from '../../domain/lsn.ts';
import type { Principal } from '../../domain/permission.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { compileAudience, type Audience } from './audience.ts';
import type { History, Resumer } from './history.ts';
import type { Hub } from './hub.ts';
import type { Subscription } from './room.ts';

type Options = {
  readonly session: Resumer;
  readonly hub: Hub;
  readonly history: History;
  readonly metrics: Metrics;
};

type Problem = { readonly code: ErrorCode; readonly message: string };

/** The subscriptions of one session, by id. */
export class SubscriptionSet {
  readonly #options: Options;
  readonly #byId = new Map<string, Subscription>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Begins a subscription; the answer comes by its own message. Otherwise why it cannot be had. */
  add(
    wanted: Pick<Subscription, 'id' | 'tables'>,
    principal: Principal,
    since: Cursor | undefined,
  ): Problem | undefined {
    const { session, history } = this.#options;
    const { id, tables } = wanted;
    if (this.#byId.has(id))
      return { code: 'conflict', message: `there is a subscription "${id}" already` };
    if (this.#byId.size >= SUBSCRIPTIONS_MAX) {
      return {
        code: 'rate_limited',
        message: `a socket may hold ${SUBSCRIPTIONS_MAX} subscriptions`,
      };
    }
    const audience = judgeAudience(wanted, principal);
    if (audience instanceof ClarinError) return { code: audience.code, message: audience.message };
    const subscription: Subscription = {
      id,
      tables,
      member: session,
      audience,
      state: 'behind',
      after: LSN_ZERO,
      isAnnounced: false,
    };
    this.#byId.set(id, subscription);
    this.#options.metrics.subscriptions.inc();
    void history.begin(session, subscription, since);
    return undefined;
  }

  remove(id: string): void {
    const { connection } = this.#options.session;
    const subscription = this.#byId.get(id);
    if (!subscription) {
      connection.send({
        type: 'error',
        code: 'not_found',
        message: `there is no subscription "${id}"`,
        id,
      });
      return;
    }
    this.#end(subscription);
    connection.send({ type: 'unsubscribed', id });
  }

  /**
   * The role may have changed: ends what it may no longer see, and shows the rest as it may see it now. With other
   * devices it holds rows that are no longer its own, and lacks others: it begins anew.
   */
  judgeAgain(principal: Principal): void {
    const { session, hub } = this.#options;
    const before = this.#byId.size;
    let lost = 0;
    for (const subscription of this.#byId.values()) {
      const audience = judgeAudience(subscription, principal);
      if (audience instanceof ClarinError) {
        this.#end(subscription);
        lost++;
        const { code, message } = audience;
        session.connection.send({ type: 'error', code, message, id: subscription.id });
      } else if (audience.rows !== subscription.audience.rows) {
        this.resyncOne(subscription, 'access');
      } else if (audience.key !== subscription.audience.key) {
        const isLive = subscription.state === 'live';
        hub.detach(session.accountId, subscription);
        subscription.audience = audience;
        if (isLive) hub.attach(session.accountId, subscription);
      }
    }
    if (before > 0 && lost === before) {
      session.connection.close(CLOSE.forbidden, 'your role may no longer see anything of this');
    }
  }

  /** All that are live go on from the log, from behind `before`. */
  fallBehind(before: Lsn): void {
    for (const subscription of this.#byId.values()) this.fallBehindOne(subscription, before);
  }

  fallBehindOne(subscription: Subscription, before: Lsn): void {
    if (subscription.state !== 'live') return;
    const { session, hub, history } = this.#options;
    hub.detach(session.accountId, subscription);
    subscription.state = 'behind';
    subscription.after = before;
    void history.catchUp(session, subscription);
  }

  /** How far the slowest of those that were announced has been served, at most `through`. */
  leastServed(through: Lsn): Lsn {
    let least = through;
    for (const { state, isAnnounced, after } of this.#byId.values()) {
      if (isAnnounced && state === 'behind' && after < least) least = after;
    }
    return least;
  }

  resyncAll(reason: ResyncReason): void {
    const { session, hub } = this.#options;
    for (const subscription of this.#byId.values()) this.#end(subscription);
    this.#options.metrics.resyncs.inc({ reason });
    session.connection.send({ type: 'resync', reason, cursor: hub.cursor(session.accountId) });
  }

  resyncOne(subscription: Subscription, reason: ResyncReason): void {
    if (subscription.state === 'over') return;
    const { session, hub } = this.#options;
    this.#end(subscription);
    this.#options.metrics.resyncs.inc({ reason });
    session.connection.send({
      type: 'resync',
      id: subscription.id,
      reason,
      cursor: hub.cursor(session.accountId),
    });
  }

  endAll(accountId: number): void {
    for (const subscription of this.#byId.values()) this.#end(subscription, accountId);
  }

  #end(subscription: Subscription, accountId = this.#options.session.accountId): void {
    this.#options.hub.detach(accountId, subscription);
    subscription.state = 'over';
    if (this.#byId.delete(subscription.id)) this.#options.metrics.subscriptions.dec();
  }
}

function judgeAudience(
  wanted: Pick<Subscription, 'id' | 'tables'>,
  principal: Principal,
): Audience | ClarinError {
  try {
    return compileAudience({ id: wanted.id, tables: wanted.tables, principal });
  } catch (error) {
    if (error instanceof ClarinError) return error;
    throw error;
  }
}
