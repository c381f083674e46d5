import { sayingOf, type DeviceCode } from '../../../domain/device-status.ts';
import { ClarinError } from '../../../domain/errors.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import type { Lease } from '../../commands/lease-work.ts';
import type { DeviceState } from '../../commands/set-device-status.ts';
import type { Me } from '../../whatsapp/map-message.ts';
import { endPairing, hidePairingCode } from '../../commands/write-pairing.ts';
import { createBell, type Bell } from '../bell.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { Attempt, type AttemptHooks, type AttemptOutcome } from './attempt.ts';
import { chooseGoal, type Goal } from './choose-goal.ts';
import type { DeviceView } from './connections.ts';
import { write, type DeviceContext } from './device-context.ts';
import { contextOf, type DeviceMeans } from './device-means.ts';
import { forgetSession } from './forget-session.ts';
import { startInbound, type Inbound } from './inbound.ts';
import { judgeClose, reconnectMs, type Phase, type Verdict } from './judge-close.ts';
import { Reconnects } from './reconnect.ts';
import { isLinked, meOf } from './pairing.ts';
import { SessionOver } from './device-session.ts';
import { readCreds } from './session-store.ts';
import type { WorkKind } from './start-work.ts';
import { StatusBoard } from './status-board.ts';

type Ended = Extract<AttemptOutcome, { kind: 'ended' }>;
type Attempted = Exclude<Goal, { kind: 'rest' }>;

/** What the database or a session cannot do now; doubled with each time in a row. */
const TROUBLE = { minMs: 1_000, maxMs: 60_000 };
/** One device alone whose version is refused: it may be about the device. */
const OUTDATED = { minMs: 60_000, maxMs: 5 * 60_000 };
const FAULT_RETRY_MS = 15 * 60_000;
/** A device that cannot be connected cannot say that it leaves: after so many tries it is forgotten here. */
const LOGOUT_TRIES_MAX = 3;
/** What came in is still written, for so long. */
const STOP_MS = 6_000;

/**
 * One device, for as long as this worker has its lease. It does what people want of it (`wanted`, a pairing) and says how
 * far it is (`status`, `status_code`):
 *
 *   rest        nothing is wanted, or nothing can be done before people do something: the status says what it is, and
 *               the worker gives the lease back when the inbox is empty. New wishes come by `refresh`
 *   connecting  a turn at the gate, a version from the breaker, a session, a socket. Linked: it logs in. Not linked, and
 *               people ask for it: it pairs, and then logs in with what that gave (515)
 *   pairing     a QR or a code is shown; again `connecting` when it was used, `disconnected` when nobody did
 *   connected   messages are sent; those that come are taken in whether connected or not
 *   backoff     the socket ended, and judge-close.ts says to try again: `connecting`, with why and `retry_at`
 *   final       ... or says not to: no worker has the device until people ask anew, who clear the code, or until
 *               `retry_at`
 *   logout      WhatsApp is told if it can be, the session is deleted either way, when what came by it is written
 *
 * One socket at a time, each with a session of its own, both over before the next. Whatever is wanted meanwhile ends the
 * attempt under way, and the loop begins anew. Who finds that the lease is lost ends everything and writes nothing.
 */
export class Device implements Running {
  readonly #means: DeviceMeans;
  readonly #context: DeviceContext;
  readonly #board: StatusBoard;
  readonly #inbound: Inbound;
  /** Nothing new is begun. */
  readonly #stopping = new AbortController();
  /** Nothing more is written. */
  readonly #ending = new AbortController();
  readonly #changed: Bell;
  readonly #reconnects = new Reconnects();
  #view: DeviceView;
  /** What was looked at before this does not know yet what we said. */
  #saidAt = -Infinity;
  #isHurried = false;
  #attempt: Attempt | undefined;
  #me: Me | undefined;
  /** Its credentials are of no use to us, however often they are read. */
  #isUnreadable = false;
  #troubles = 0;
  #logoutTries = 0;
  #done: Promise<void> = Promise.resolve();

  constructor(
    means: DeviceMeans,
    { lease, view, onLost }: { lease: Lease; view: DeviceView; onLost: () => void },
  ) {
    this.#means = means;
    this.#view = view;
    this.#changed = createBell(means.clock);
    const { signal } = this.#ending;
    this.#context = contextOf(means, { lease, place: view, onLost, signal });
    this.#board = new StatusBoard(this.#context);
    this.#inbound = startInbound(this.#context, { me: () => this.#me });
  }

  start(): this {
    this.#done = this.#run();
    return this;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const hard = this.#means.clock.sleep(STOP_MS, this.#ending.signal);
    hard.then(
      () => this.#ending.abort(),
      () => undefined,
    );
    await this.#done;
    this.#ending.abort();
  }

  /** The device as people have it, looked at since `askedAt` of the clock. `isTold`: somebody has just asked for something. */
  refresh(view: DeviceView, askedAt: number, isTold: boolean): void {
    if (askedAt < this.#saidAt) return;
    this.#view = view;
    if (isTold) this.#isHurried = true;
    this.#attempt?.reconsider(view);
    // Of a lease that is lost, whoever has it knows.
    this.#board.again().catch(() => undefined);
    this.#changed.ring();
  }

  /** There may be something to do. */
  ring(kind: WorkKind | 'inbox'): void {
    if (kind === 'inbox') this.#inbound.ring();
    else this.#attempt?.ring(kind);
  }

  get accountId(): number {
    return this.#context.accountId;
  }

  get deviceId(): number {
    return this.#context.deviceId;
  }

  get state(): DeviceState | undefined {
    return this.#board.state;
  }

  /** Milliseconds since the last frame of the socket; undefined: there is none. */
  get frameAgeMs(): number | undefined {
    const at = this.#attempt?.frameAt;
    return at === undefined ? undefined : Math.max(0, this.#means.clock.elapsed() - at);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      while (!signal.aborted) await this.#step().catch((error: unknown) => this.#recover(error));
    } catch (error) {
      const isOver = signal.aborted || error instanceof LeaseLost || error instanceof SessionOver;
      if (!isOver) this.#context.log.error({ error }, 'a device is no longer worked for');
    } finally {
      await this.#inbound.stop();
    }
  }

  async #step(): Promise<void> {
    const goal = chooseGoal(this.#view);
    if (goal.kind === 'rest') {
      if (goal.state) await this.#board.tell({ ...goal.state, retryAtMs: undefined });
      if (!this.#me && this.#view.hasSession && !this.#isUnreadable) await this.#readMe();
      return this.#changed.wait(Infinity, this.#stopping.signal);
    }
    if (goal.kind !== 'logout') this.#logoutTries = 0;
    if (this.#board.state?.status !== 'connecting')
      await this.#board.tell({ status: 'connecting', code: undefined, retryAtMs: undefined });
    this.#attempt = new Attempt(this.#means, this.#context, { goal, hooks: this.#hooks() });
    try {
      await this.#settle(goal, await this.#attempt.run());
    } finally {
      this.#attempt = undefined;
    }
  }

  /** What a worker that is no more left in the inbox is written without a socket. Never rejects: it rests either way. */
  async #readMe(): Promise<void> {
    try {
      const creds = await readCreds(this.#context);
      if (creds && isLinked(creds)) this.#hearMe(meOf(creds));
    } catch (error) {
      this.#isUnreadable = !(error instanceof ClarinError) || error.code === 'configuration';
      this.#context.log.warn({ error }, 'who a device is could not be read');
    }
  }

  #hearMe(me: Me): void {
    this.#me = me;
    this.#inbound.ring();
  }

  #hooks(): AttemptHooks {
    return {
      stopping: this.#stopping.signal,
      view: () => this.#view,
      onInbox: () => this.#inbound.ring(),
      onMade: (socket) => this.#inbound.watch(socket),
      onMe: (me) => this.#hearMe(me),
      onPhase: (phase) => this.#enter(phase),
      onClosed: (retryAtMs) =>
        this.#board.tell({ status: 'connecting', code: 'client_outdated', retryAtMs }),
    };
  }

  #enter(phase: Phase): void {
    this.#troubles = 0;
    if (phase === 'open') this.#reconnects.opened(this.#means.clock.elapsed());
    const status = phase === 'open' ? 'connected' : phase;
    // What is not written now is written with the next look.
    this.#board.tell({ status, code: undefined, retryAtMs: undefined }).catch(() => undefined);
  }

  async #settle(goal: Attempted, outcome: AttemptOutcome): Promise<void> {
    const { accountId, deviceId } = this.#context;
    switch (outcome.kind) {
      case 'left':
        return;
      case 'logged_out':
        return this.#logOut();
      case 'not_paired':
        return goal.kind === 'logout' ? this.#logOut() : this.#finish('not_paired');
      case 'refused':
        await this.#forget();
        await write(this.#context, (tx) => endPairing(tx, { accountId, deviceId }));
        return this.#finish(outcome.code);
      case 'ended':
        return this.#settleEnd(goal, outcome);
    }
  }

  async #settleEnd(goal: Attempted, { closed, phase, version }: Ended): Promise<void> {
    const { metrics, clock, breaker } = this.#means;
    const { log, deviceId } = this.#context;
    const history = this.#reconnects.closed(closed, phase, clock.elapsed());
    const verdict = judgeClose(closed, phase, history);
    const code = closed.kind === 'closed' ? String(closed.statusCode ?? 'none') : closed.kind;
    metrics.whatsappCloses.inc({ code });
    log.info({ closed, phase, verdict: verdict.kind, ...history }, 'a socket has ended');
    if (goal.kind === 'logout') return this.#settleLogout(verdict, history.attempts);
    if (phase === 'pairing' && verdict.kind !== 'final') await this.#hideCode();
    switch (verdict.kind) {
      case 'again':
        return;
      case 'backoff':
        return this.#backOff(verdict.code, history.attempts, verdict.bounds);
      case 'wait':
        // Refused when the lease is not ours any more: then it was taken over by one of us, and that is right.
        return this.#rest(verdict.code, verdict.waitMs, false);
      case 'outdated':
        await breaker.refused(deviceId, version ?? '');
        return this.#backOff('client_outdated', history.attempts, OUTDATED);
      case 'final':
        return this.#settleFinal(verdict);
    }
  }

  /** It was of the socket that has ended. */
  async #hideCode(): Promise<void> {
    const { accountId, deviceId } = this.#context;
    await write(this.#context, (tx) => hidePairingCode(tx, { accountId, deviceId }));
  }

  async #settleFinal(verdict: Extract<Verdict, { kind: 'final' }>): Promise<void> {
    const { code, retryMs, isUnlinked, isFault } = verdict;
    const { accountId, deviceId } = this.#context;
    if (isFault) this.#alarm(undefined);
    if (isUnlinked) await this.#forget();
    if (this.#view.pairing)
      await write(this.#context, (tx) => endPairing(tx, { accountId, deviceId }));
    return this.#finish(code, retryMs);
  }

  async #settleLogout(verdict: Verdict, attempts: number): Promise<void> {
    if (verdict.kind === 'final' && verdict.isUnlinked) return this.#logOut();
    this.#logoutTries++;
    if (verdict.kind !== 'final' && this.#logoutTries < LOGOUT_TRIES_MAX)
      return this.#backOff('connection_lost', attempts, TROUBLE);
    await this.#forget();
    return this.#finish('logout_unconfirmed');
  }

  async #logOut(): Promise<void> {
    await this.#forget();
    await this.#say({ status: 'logged_out', code: undefined, retryAtMs: undefined });
  }

  async #forget(): Promise<void> {
    const { signal } = this.#stopping;
    const drained = (): Promise<void> => this.#inbound.drained();
    await forgetSession(this.#context, { keys: this.#means.keys, drained, signal });
  }

  /** Nothing more is tried; the lease goes. */
  async #finish(code: DeviceCode, retryMs?: number): Promise<void> {
    const retryAtMs = retryMs === undefined ? undefined : this.#means.clock.now() + retryMs;
    await this.#say({ status: sayingOf(code).status, code, retryAtMs });
  }

  /** What the database shows from now on is not older than this. */
  async #say(state: DeviceState): Promise<void> {
    await this.#board.tell(state);
    this.#saidAt = this.#means.clock.elapsed();
    this.#view = { ...this.#view, status: state.status, code: state.code };
  }

  #backOff(
    code: DeviceCode,
    attempts: number,
    bounds: { minMs: number; maxMs: number },
  ): Promise<void> {
    return this.#rest(code, reconnectMs(attempts, bounds, this.#means.clock.random()), true);
  }

  /** Says when it is tried again, and waits for that, or until something else is wanted. */
  async #rest(code: DeviceCode, ms: number, canHurry: boolean): Promise<void> {
    const { clock } = this.#means;
    this.#isHurried = false;
    await this.#board.tell({ status: 'connecting', code, retryAtMs: clock.now() + ms });
    const goal = JSON.stringify(chooseGoal(this.#view));
    const until = clock.elapsed() + ms;
    while (clock.elapsed() < until) {
      await this.#changed.wait(until - clock.elapsed(), this.#stopping.signal);
      if (canHurry && this.#isHurried) return;
      if (JSON.stringify(chooseGoal(this.#view)) !== goal) return;
    }
  }

  /** @throws what ends the work for the device. */
  async #recover(error: unknown): Promise<void> {
    const { log } = this.#context;
    if (this.#stopping.signal.aborted || error instanceof LeaseLost) throw error;
    if (error instanceof SessionOver && error.reason === 'lost') throw error;
    const mayPass =
      error instanceof SessionOver ||
      (error instanceof ClarinError && ['timeout', 'unavailable', 'conflict'].includes(error.code));
    if (!mayPass) {
      this.#alarm(error);
      return this.#finish('fault', FAULT_RETRY_MS);
    }
    log.warn({ error }, 'work for a device has failed: it is tried again');
    await this.#backOff('connection_lost', ++this.#troubles, TROUBLE);
  }

  #alarm(error: unknown): void {
    this.#means.metrics.whatsappFaults.inc();
    this.#context.log.error({ error }, 'a device has stopped because of a fault of ours');
  }
}
