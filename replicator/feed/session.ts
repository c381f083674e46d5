import { parseCursor, type Cursor } from '../../domain/cursor.ts';
import { ClarinError } from '../../domain/errors.ts';
import {
  CLOSE,
  FEED_VERSION,
  HEARTBEAT_MS,
  HELLO_TIMEOUT_MS,
  type ResyncReason,
} from '../../domain/feed-protocol.ts';
import type { Lsn } from '../../domain/lsn.ts';
import type { Principal } from '../../domain/permission.ts';
import { verifyBearer, type AccessClaims } from '../../platform/access.ts';
import type { Connection } from './connection.ts';
import type { Resumer } from './history.ts';
import { Inbox, type ClientRequest, type Hello } from './inbox.ts';
import { AHEAD_TIMEOUT_MS, HISTORY_BACKLOG_BYTES } from './limits.ts';
import { PrincipalWatch } from './principal-watch.ts';
import type { Subscription } from './room.ts';
import type { SessionOptions, SessionState } from './session-state.ts';
import { SignalWriter } from './signal.ts';
import { SubscriptionSet } from './subscription-set.ts';

/** One socket's conversation; its states and their moves are in session-state.ts. */
export class Session implements Resumer {
  readonly connection: Connection;
  readonly #options: SessionOptions;
  readonly #watch: PrincipalWatch;
  readonly #subscriptions: SubscriptionSet;
  readonly #inbox: Inbox;
  readonly #signals: SignalWriter;
  readonly #helloDeadlineMs: number;
  #state: SessionState = { kind: 'awaiting hello' };

  constructor(options: SessionOptions) {
    const nowMs = options.nowMs();
    this.connection = options.connection;
    this.#options = options;
    this.#watch = new PrincipalWatch({ database: options.database, log: options.log });
    this.#subscriptions = new SubscriptionSet({ session: this, ...options });
    this.#inbox = new Inbox({
      nowMs: options.nowMs,
      onHello: (hello) => void this.#guard(() => this.#hello(hello)),
      onRequest: (request) => this.#guard(() => this.#handle(request)),
      onOffence: (code, message, close) => this.#fail(code, message, close),
    });
    this.#signals = new SignalWriter(options);
    this.#helloDeadlineMs = nowMs + HELLO_TIMEOUT_MS;
  }

  get accountId(): number {
    const { kind } = this.#state;
    return kind === 'live' || kind === 'authenticating' ? (this.#state.accountId ?? 0) : 0;
  }

  get sessionIds(): readonly number[] {
    return this.#watch.sessionIds;
  }

  get principal(): Principal | undefined {
    return this.#state.kind === 'live' ? this.#watch.principal : undefined;
  }

  cleared(): Promise<boolean> {
    return this.#watch.cleared();
  }

  /** A frame came in. `bytes` are only lent: they are read before this returns. */
  onFrame(bytes: ArrayBuffer, isBinary: boolean): void {
    if (this.#state.kind !== 'closed') this.#inbox.receive(bytes, isBinary);
  }

  /** No fault of one socket may reach another, or end the process. */
  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#state.kind === 'closed') return;
      if (error instanceof ClarinError && error.code !== 'internal') {
        const close = error.code === 'unauthenticated' ? CLOSE.unauthenticated : CLOSE.restarting;
        return this.#fail(error.code, error.message, close);
      }
      this.#options.log.error({ error, account: this.accountId }, 'a session failed');
      this.#fail('internal', 'a fault of ours; reconnect', CLOSE.restarting);
    }
  }

  async #hello({ version, token }: Hello): Promise<void> {
    const { hub } = this.#options;
    this.#state = { kind: 'authenticating', accountId: undefined };
    if (version !== FEED_VERSION) {
      const says = `this server speaks version ${FEED_VERSION} of the feed, not ${version}`;
      return this.#fail('invalid_request', says, CLOSE.protocol);
    }
    const claims = await this.#verify(token);
    if (this.#isClosed()) return;
    const { accountId } = claims;
    this.#state = { kind: 'authenticating', accountId };
    this.#watch.use(claims);
    await hub.join(accountId, this);
    const principal = await this.#watch.load();
    if (this.#isClosed()) return;
    if (!principal)
      throw new ClarinError('unauthenticated', 'the session of this token is over; log in again');
    const isReady = await hub.reached(accountId, hub.epoch?.base ?? (0n as Lsn), AHEAD_TIMEOUT_MS);
    if (this.#isClosed()) return;
    if (!isReady || !hub.epoch) return this.closeRestarting();
    this.#state = { kind: 'live', accountId, claims };
    this.#options.onAuthenticated();
    const welcome = { type: 'welcome', version: FEED_VERSION, account_id: accountId } as const;
    this.connection.send({ ...welcome, cursor: hub.cursor(accountId), heartbeat_ms: HEARTBEAT_MS });
    // A control change may have come while the hub was not ready.
    if (!this.#watch.principal) this.#recheck();
    this.#inbox.start();
  }

  #verify(token: string): Promise<AccessClaims> {
    const { database, secret } = this.#options;
    return verifyBearer({ db: database, secret }, token);
  }

  async #handle(message: ClientRequest): Promise<void> {
    switch (message.type) {
      case 'ping':
        return this.connection.send({ type: 'pong' });
      case 'unsubscribe':
        return this.#subscriptions.remove(message.id);
      case 'auth':
        return this.#auth(message.token);
      case 'subscribe': {
        const { id, tables, since } = message;
        const cursor = since === undefined ? undefined : parseCursor(since);
        if (since !== undefined && !cursor)
          return this.#refuse('invalid_request', '"since" is not a cursor', id);
        return this.#subscribe({ id, tables }, cursor);
      }
      case 'signal':
        return this.#signal(message.chat_id);
      default:
        return message satisfies never;
    }
  }

  async #subscribe(
    wanted: Pick<Subscription, 'id' | 'tables'>,
    since: Cursor | undefined,
  ): Promise<void> {
    const principal = await this.#knownPrincipal();
    if (!principal) return;
    const problem = this.#subscriptions.add(wanted, principal, since);
    if (problem) this.#refuse(problem.code, problem.message, wanted.id);
    if (problem?.code === 'rate_limited') this.connection.close(CLOSE.tooMany, problem.message);
  }

  async #signal(chatId: number): Promise<void> {
    const principal = await this.#knownPrincipal();
    if (!principal) return;
    try {
      await this.#signals.writeTyping(principal, chatId);
    } catch (error) {
      if (!(error instanceof ClarinError)) throw error;
      this.#refuse(error.code, error.message);
    }
  }

  /** Undefined when the session is over. */
  async #knownPrincipal(): Promise<Principal | undefined> {
    while (!this.principal) if (!(await this.cleared())) return undefined;
    return this.principal;
  }

  /** A fresh token for the same user and account; the socket and its subscriptions go on. */
  async #auth(token: string): Promise<void> {
    const known = this.#state.kind === 'live' ? this.#state.claims : undefined;
    let claims: AccessClaims;
    try {
      claims = await this.#verify(token);
    } catch (error) {
      if (!(error instanceof ClarinError)) throw error;
      return this.#refuse(error.code, error.message);
    }
    if (!known || this.#state.kind !== 'live') return;
    if (claims.userId !== known.userId || claims.accountId !== known.accountId) {
      return this.#refuse(
        'forbidden',
        'this token is of another user or account: open another socket for it',
      );
    }
    if (!(await this.#knownPrincipal())) return;
    const isGood = await this.#watch.switchTo(claims, (principal) =>
      this.#subscriptions.judgeAgain(principal),
    );
    if (this.#isClosed()) return;
    if (!isGood)
      throw new ClarinError('unauthenticated', 'the session of this token is over; log in again');
    this.#state.claims = claims;
    this.connection.send({ type: 'authenticated' });
  }

  hold(before: Lsn): void {
    this.#watch.invalidate();
    if (this.#state.kind !== 'live') return;
    this.#subscriptions.fallBehind(before);
    this.#recheck();
  }

  #recheck(): void {
    void this.#guard(async () => {
      const outcome = await this.#watch.settle((principal) =>
        this.#subscriptions.judgeAgain(principal),
      );
      if (outcome === 'gone')
        throw new ClarinError('unauthenticated', 'the session is over; log in again');
    });
  }

  fallBehind(subscription: Subscription, before: Lsn): void {
    this.#subscriptions.fallBehindOne(subscription, before);
  }

  heartbeat(through: Lsn, frame: Buffer): void {
    if (this.#state.kind !== 'live' || this.connection.backlogBytes > HISTORY_BACKLOG_BYTES) return;
    const least = this.#subscriptions.leastServed(through);
    if (least === through) this.connection.sendFrame(frame);
    else this.connection.send({ type: 'heartbeat', cursor: this.#options.hub.cursorAt(least) });
  }

  /** What is no longer told may have been a revocation: nobody goes on as who he was. */
  resync(reason: ResyncReason): void {
    this.#watch.invalidate();
    if (this.#state.kind !== 'live') return;
    this.#subscriptions.resyncAll(reason);
    this.#recheck();
  }

  resyncOne(subscription: Subscription, reason: ResyncReason): void {
    this.#subscriptions.resyncOne(subscription, reason);
  }

  closeSlow(): void {
    this.connection.close(CLOSE.tooSlow, 'too slow: reconnect and resume from your cursor');
  }

  closeRestarting(): void {
    this.connection.close(CLOSE.restarting, 'restarting: reconnect and resume from your cursor');
  }

  closeUnavailable(): void {
    this.#fail('unavailable', 'the feed cannot read history now; reconnect', CLOSE.restarting);
  }

  /** Several times a second: everything that depends on time alone. */
  sweep(nowMs: number): void {
    const state = this.#state;
    if (state.kind === 'live') {
      const { expiresAt = Infinity } = this.#watch.principal ?? {};
      if (nowMs >= Math.min(state.claims.expiresAt, expiresAt) * 1_000) {
        const says = 'the token or key has expired; send a fresh one with "auth" in time';
        this.#fail('unauthenticated', says, CLOSE.unauthenticated);
      } else if (this.connection.isStalled(nowMs)) this.closeSlow();
    } else if (state.kind !== 'closed' && nowMs >= this.#helloDeadlineMs) {
      this.#fail(
        'unauthenticated',
        `no hello within ${HELLO_TIMEOUT_MS} ms`,
        CLOSE.unauthenticated,
      );
    }
  }

  /** The socket is gone. */
  onClosed(): void {
    const { accountId } = this;
    this.#state = { kind: 'closed' };
    this.connection.onClosed();
    this.#inbox.end();
    this.#subscriptions.endAll(accountId);
    this.#watch.end();
    if (accountId !== 0) this.#options.hub.leave(accountId, this);
  }

  #refuse(code: string, message: string, id?: string): void {
    this.connection.send({ type: 'error', code, message, ...(id === undefined ? {} : { id }) });
  }

  /** Says why, then closes. */
  #fail(code: string, message: string, close: number): void {
    this.#refuse(code, message);
    this.connection.close(close, message);
  }

  #isClosed(): boolean {
    return this.#state.kind === 'closed';
  }
}
