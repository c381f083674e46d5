import type { WASocket } from '@whiskeysockets/baileys';
import type { Me } from '../../whatsapp/map-message.ts';
import { readNumbers } from '../../commands/write-pairing.ts';
import { isStillAsked, isStillConnected, type Goal } from './choose-goal.ts';
import type { DeviceView } from './connections.ts';
import type { DeviceContext } from './device-context.ts';
import type { DeviceMeans } from './device-means.ts';
import type { Phase } from './judge-close.ts';
import { Link, type Errand, type LinkOutcome } from './link.ts';
import { forgetUnlinked, isLinked, meOf } from './pairing.ts';
import type { DeviceSession } from './device-session.ts';
import { openSession } from './session-store.ts';
import { startWork, type Work, type WorkKind } from './start-work.ts';

export type AttemptOutcome =
  | (LinkOutcome & { readonly version?: string })
  /** There is nothing to log in with, and nobody asks for a pairing. */
  | { readonly kind: 'not_paired' };

export type AttemptHooks = {
  /** Aborted when the work for the device is to end. */
  readonly stopping: AbortSignal;
  readonly view: () => DeviceView;
  readonly onInbox: () => void;
  readonly onMade: (socket: WASocket) => void;
  readonly onMe: (me: Me) => void;
  readonly onPhase: (phase: Phase) => void;
  /** Nobody may connect before then, Unix ms. */
  readonly onClosed: (retryAtMs: number) => Promise<void>;
};

class Left extends Error {}

/** From opening a session to its end, with at most one socket in between. */
export class Attempt {
  readonly #means: DeviceMeans;
  readonly #context: DeviceContext;
  readonly #goal: Exclude<Goal, { kind: 'rest' }>;
  readonly #hooks: AttemptHooks;
  readonly #leaving = new AbortController();
  #errand: Errand | undefined;
  #isPaired = false;
  #link: Link | undefined;
  #work: Work | undefined;

  constructor(
    means: DeviceMeans,
    context: DeviceContext,
    { goal, hooks }: { goal: Exclude<Goal, { kind: 'rest' }>; hooks: AttemptHooks },
  ) {
    this.#means = means;
    this.#context = context;
    this.#goal = goal;
    this.#hooks = hooks;
  }

  get frameAt(): number | undefined {
    return this.#link?.frameAt;
  }

  ring(kind: WorkKind): void {
    this.#work?.ring(kind);
  }

  /** What is wanted may be something else now: then it ends. */
  reconsider(view: DeviceView): void {
    if (!this.#isStillWanted(view)) this.#leaving.abort(new Left());
  }

  #isStillWanted(view: DeviceView): boolean {
    if (this.#goal.kind === 'logout') return view.wanted === 'logged_out';
    if (!isStillConnected(view)) return false;
    const errand = this.#errand;
    return errand?.kind !== 'pair' || this.#isPaired || isStillAsked(errand.pairing, view);
  }

  /** @throws LeaseLost, SessionOver, ClarinError, the reason of the context's signal. */
  async run(): Promise<AttemptOutcome> {
    const context = this.#context;
    const session = await openSession(context, {
      cache: this.#means.keys,
      onInbox: this.#hooks.onInbox,
      onLost: context.onLost,
    });
    try {
      const errand = await this.#chooseErrand(session);
      if (!errand) return { kind: 'not_paired' };
      this.#errand = errand;
      this.reconsider(this.#hooks.view());
      return await this.#connect(session, errand);
    } catch (error) {
      if (error instanceof Left) return { kind: 'left' };
      throw error;
    } finally {
      this.#link = undefined;
      this.#work = undefined;
      await session.close();
    }
  }

  async #chooseErrand(session: DeviceSession): Promise<Errand | undefined> {
    const { creds } = session.auth;
    if (isLinked(creds)) {
      this.#hooks.onMe(meOf(creds));
      return { kind: this.#goal.kind === 'logout' ? 'logout' : 'login' };
    }
    const { pairing } = this.#hooks.view();
    if (this.#goal.kind === 'logout' || pairing?.isExpired !== false) return undefined;
    forgetUnlinked(creds);
    const numbers = await readNumbers(this.#context.database, this.#context);
    return { kind: 'pair', pairing, numbers };
  }

  async #connect(session: DeviceSession, errand: Errand): Promise<AttemptOutcome> {
    const { gate, breaker, clock, socket, whatsapp } = this.#means;
    const { stopping } = this.#hooks;
    const signal = AbortSignal.any([stopping, this.#leaving.signal]);
    const { version, isProbe } = await breaker.admit(signal, this.#hooks.onClosed);
    const leaveGate = await gate.enter(signal);
    const beganAt = clock.elapsed();
    const onPhase = (phase: Phase): void => {
      if (phase === 'connecting') this.#isPaired = true;
      else {
        leaveGate();
        // A probe began when nobody else could.
        void breaker.proven(version, isProbe ? 0 : clock.elapsed() - beganAt);
      }
      if (phase === 'open') this.#hooks.onMe(meOf(session.auth.creds));
      this.#hooks.onPhase(phase);
    };
    try {
      this.#link = new Link(socket, this.#context, {
        errand,
        session,
        version,
        signal,
        onPhase,
        receivesGroups: () => this.#hooks.view().receivesGroups,
        wantsLogout: () => !stopping.aborted && this.#hooks.view().wanted === 'logged_out',
        onMade: this.#hooks.onMade,
        startWork: (linked) => (this.#work = startWork(this.#context, linked, whatsapp)),
      });
      return { ...(await this.#link.run()), version };
    } finally {
      leaveGate();
    }
  }
}
