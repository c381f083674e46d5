import type { Running } from '../../../platform/lifecycle.ts';
import { beatKommoPulse } from '../../commands/kommo-pulse.ts';
import type { Lease } from '../../commands/lease-work.ts';
import { createBell } from '../bell.ts';
import { isTold } from './choose-job.ts';
import { failJob, openBackground, stepBackground, type Background } from './background.ts';
import type { Connection } from './connections.ts';
import { Health } from './health.ts';
import type { ConnectionState, FailedPass } from './judge-failure.ts';
import { openLists } from './lists.ts';
import { GAP_MS, openSession, type SessionMeans } from './open-session.ts';
import { passEvents, type EventsKnown } from './pass-events.ts';
import { passHints, settleDoubts } from './pass-hints.ts';
import { passReference } from './pass-reference.ts';
import { passContacts, passDeleted, passLeads } from './pass-updated.ts';
import { PASSES, Schedule } from './schedule.ts';
import type { Session } from './session.ts';
import { LeaseLost } from '../write-in-lease.ts';
import type { PassName } from './cadence.ts';

export type RunnerMeans = SessionMeans & {
  /** How much everything is stretched now, because requests wait for their turn. */
  readonly stretch: () => number;
};

/** Nobody waits longer than this without looking whether something has changed. */
const LOOK_MS = 60_000;
const OPEN_RETRY_MS = 5_000;

/**
 * Reads one connection for as long as its lease holds. Three loops, so that none waits for another: what was said to have
 * changed; the passes, each when it is due; everything and the sweep. A pass that fails leaves its cursor where it was, and
 * the next one does it again.
 */
export class Runner implements Running {
  readonly connectionId: number;
  readonly #means: RunnerMeans;
  readonly #lease: Lease;
  readonly #onLost: () => void;
  readonly #stopping = new AbortController();
  readonly #schedule = new Schedule();
  readonly #bells;
  readonly #events: EventsKnown = new Map();
  #session: Session | undefined;
  /** As it was at the last refresh. */
  #connection: Connection | undefined;
  #health: Health | undefined;
  #background: Background | undefined;
  /** What leads refer to was read. */
  #isKnown = false;
  #completeAtMs: number | undefined;
  /** When somebody else last had read it, by our clock, ms. */
  #readAtMs: number | undefined;
  #requests = 0;
  #done: Promise<unknown> = Promise.resolve();

  constructor(
    means: RunnerMeans,
    { lease, connectionId, onLost }: { lease: Lease; connectionId: number; onLost: () => void },
  ) {
    this.connectionId = connectionId;
    this.#means = means;
    this.#lease = lease;
    this.#onLost = onLost;
    const { clock } = means;
    this.#bells = {
      polls: createBell(clock),
      hints: createBell(clock),
      background: createBell(clock),
    };
  }

  start(): this {
    this.#done = this.#run().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) this.#onEnd(error);
    });
    return this;
  }

  /** By itself: the lease is lost, or there is a fault of ours. Whoever has the lease begins anew. */
  #onEnd(error: unknown): void {
    if (!(error instanceof LeaseLost))
      this.#means.log.error({ error, connection: this.connectionId }, 'reading Kommo ended');
    this.#stopping.abort(error);
    this.#onLost();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  /** Ids wait to be fetched. */
  hint(): void {
    this.#bells.hints.ring();
  }

  /** Somebody looks at what comes from there. */
  watched(accountId: number): void {
    if (this.#session?.scope.accountId !== accountId) return;
    const nowMs = this.#means.clock.elapsed();
    // Said every few seconds while somebody looks: only the first time it is asked at once.
    if (!this.#schedule.isActive(nowMs)) this.#schedule.hasten('updated');
    this.#schedule.activate(nowMs, nowMs);
    this.#bells.polls.ring();
  }

  /** As people have it now. `isTold`: because they have just changed something. */
  refresh(connection: Connection, isTold: boolean): void {
    const session = this.#session;
    if (!session) return;
    // Not what the session has: whoever works with it looks at the connection himself now and then.
    const before = this.#connection ?? session.connection;
    this.#connection = connection;
    session.connection = connection;
    if (connection.hasHints) this.#bells.hints.ring();
    const isOtherwiseFollowed = before.followed.join() !== connection.followed.join();
    // What is followed from now on gets its stages first.
    if (isOtherwiseFollowed) this.#schedule.hasten('reference');
    if (isOtherwiseFollowed) this.#isKnown = false;
    const isOtherwiseSynced = before.fullSync !== connection.fullSync;
    const hasOtherTokens = before.tokensKeptAt !== connection.tokensKeptAt;
    // The old ones may still be good, of somebody with fewer rights.
    if (hasOtherTokens) session.client.forgetTokens();
    if (isTold) this.#health?.nudge();
    if (isTold || isOtherwiseFollowed || hasOtherTokens) this.#bells.polls.ring();
    if (isTold || isOtherwiseFollowed || isOtherwiseSynced || hasOtherTokens)
      this.#bells.background.ring();
  }

  /** Milliseconds since the last complete pass; undefined: there was none yet. */
  lagMs(): number | undefined {
    if (this.#completeAtMs === undefined) return undefined;
    return this.#means.clock.elapsed() - this.#completeAtMs;
  }

  state(): ConnectionState | undefined {
    return this.#health?.state(this.#background?.alarm);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const session = await this.#open(signal);
    this.#connection = session.connection;
    this.#session = session;
    this.#health = new Health(session);
    // The first one to end ends the others; none is under way any more when this is over.
    await Promise.allSettled([
      this.#loop('polls', (health) => this.#poll(session, health)),
      this.#loop('hints', (health) => this.#hints(session, health)),
      this.#loop('background', (health) => this.#behind(session, health)),
    ]);
  }

  /** @throws LeaseLost when there is nothing to read. */
  async #open(signal: AbortSignal): Promise<Session> {
    const { clock, log } = this.#means;
    for (;;) {
      try {
        const opened = await openSession(this.#means, this.#lease, signal);
        if (!opened) throw new LeaseLost(this.#lease.resource);
        this.#background = openBackground(opened.session, opened.hasGap);
        this.#readAtMs = opened.readAtMs;
        return opened.session;
      } catch (error) {
        if (signal.aborted || error instanceof LeaseLost) throw error;
        log.warn({ error, connection: this.connectionId }, 'a Kommo connection was not opened');
        await clock.sleep(OPEN_RETRY_MS, signal);
      }
    }
  }

  /** Rounds until stopped, each of which says how long to wait for the next, ms. When one loop ends so do the others. */
  async #loop(
    name: 'polls' | 'hints' | 'background',
    round: (health: Health) => Promise<number>,
  ): Promise<void> {
    const { signal } = this.#stopping;
    const bell = this.#bells[name];
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#health) await bell.wait(await round(this.#health), signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#onEnd(error);
      throw error;
    }
  }

  async #poll(session: Session, health: Health): Promise<number> {
    const { clock, stretch } = this.#means;
    for (const pass of PASSES) {
      if (this.#schedule.waitMs(pass, clock.elapsed()) > 0 || health.restMs(pass) > 0) continue;
      // Until people say what they want of it only that is read by which they can say so.
      const isAlone = pass === 'reference';
      if (!isAlone && (!this.#isKnown || session.connection.followed.length === 0)) continue;
      if (!(await this.#attempt(health, pass, () => this.#passOf(session, pass)))) continue;
      const nowMs = clock.elapsed();
      if (session.changedAtMs !== undefined) this.#schedule.activate(session.changedAtMs, nowMs);
      session.changedAtMs = undefined;
      this.#schedule.done(pass, { nowMs, stretch: stretch() });
      if (pass === 'updated') await this.#complete(session, nowMs);
    }
    const waits = PASSES.map((pass) =>
      Math.max(this.#schedule.waitMs(pass, clock.elapsed()), health.restMs(pass)),
    );
    return Math.min(LOOK_MS, ...waits.filter((wait) => wait > 0));
  }

  async #passOf(session: Session, pass: PassName): Promise<void> {
    switch (pass) {
      case 'reference':
        await passReference(session, 'poll');
        this.#isKnown = true;
        return;
      case 'updated':
        await openLists(session);
        this.#noteGap(await passContacts(session));
        this.#noteGap(await passLeads(session));
        return settleDoubts(session);
      case 'events':
        await openLists(session);
        return this.#noteGap(await passEvents(session, this.#events));
      case 'deleted':
        await openLists(session);
        return this.#noteGap(await passDeleted(session));
    }
  }

  /** What a pass did not find is found by reading everything. */
  #noteGap(isWhole: boolean): void {
    if (!isWhole && this.#background) this.#background.hasGap = true;
  }

  /** Everything that changed until now is here. */
  async #complete(session: Session, nowMs: number): Promise<void> {
    const { database, stretch, log } = this.#means;
    const isFirst = this.#completeAtMs === undefined;
    const isLate = nowMs - (this.#completeAtMs ?? this.#readAtMs ?? nowMs) > GAP_MS;
    if (isLate && this.#background) this.#background.hasGap = true;
    this.#completeAtMs = nowMs;
    if (isFirst) for (const name of ['hints', 'background'] as const) this.#bells[name].ring();
    const sent = session.client.requests();
    const requests = sent - this.#requests;
    this.#requests = sent;
    const cadenceMs = this.#schedule.cadenceMs * stretch();
    await beatKommoPulse(database, session.scope, { cadenceMs, requests }).catch((error: unknown) =>
      log.warn({ error }, 'the pulse of a Kommo connection was not written'),
    );
  }

  async #hints(session: Session, health: Health): Promise<number> {
    const restMs = health.restMs('hints');
    if (restMs > 0 || !this.#isReady(session)) return Math.min(restMs || LOOK_MS, LOOK_MS);
    let wereThere = false;
    await this.#attempt(health, 'hints', async () => {
      wereThere = await passHints(session);
      return wereThere;
    });
    if (wereThere) {
      const nowMs = this.#means.clock.elapsed();
      this.#schedule.activate(nowMs, nowMs);
      this.#bells.polls.ring();
    }
    return Math.min(LOOK_MS, health.restMs('hints') || LOOK_MS);
  }

  async #behind(session: Session, health: Health): Promise<number> {
    const background = this.#background;
    if (!background || !this.#isReady(session)) return LOOK_MS;
    const pass: FailedPass = background.job ? 'everything' : 'sweep';
    const restMs = health.restMs(pass);
    if (restMs > 0) {
      if (health.isStuck()) await this.#giveUp(session, background);
      return Math.min(restMs, LOOK_MS);
    }
    let waitMs = 0;
    const isDone = await this.#attempt(health, pass, async () => {
      const stepped = await stepBackground(session, background);
      waitMs = stepped.waitMs;
      return stepped.hasAsked;
    });
    if (!isDone) return Math.min(health.restMs(pass), LOOK_MS);
    const { clock, stretch } = this.#means;
    const nowMs = clock.elapsed();
    if (background.job && isTold(background.job.position.reason))
      this.#schedule.activate(nowMs, nowMs);
    return waitMs * stretch();
  }

  async #giveUp(session: Session, background: Background): Promise<void> {
    try {
      await failJob(session, background);
    } catch (error) {
      if (this.#stopping.signal.aborted || error instanceof LeaseLost) throw error;
      this.#means.log.warn({ error }, 'that everything could not be read was not written');
    }
  }

  /** What changed is read up to now: before that nothing else is of use. */
  #isReady(session: Session): boolean {
    return this.#completeAtMs !== undefined && session.connection.followed.length > 0;
  }

  /**
   * True: it was done. `work` gives false when there was nothing to ask Kommo for: that says nothing of how it is.
   * @throws LeaseLost, the signal's reason; what else goes wrong is the health's.
   */
  async #attempt(
    health: Health,
    pass: FailedPass,
    work: () => Promise<boolean | void>,
  ): Promise<boolean> {
    const { metrics } = this.#means;
    const begun = health.begin();
    try {
      const hasAsked = (await work()) !== false;
      metrics.kommoPasses.inc({ pass, outcome: 'done' });
      if (hasAsked) await health.succeed(pass, { begun, alarm: this.#background?.alarm });
      return true;
    } catch (error) {
      if (this.#stopping.signal.aborted || error instanceof LeaseLost) throw error;
      metrics.kommoPasses.inc({ pass, outcome: 'failed' });
      await health.fail(error, pass);
      return false;
    }
  }
}
