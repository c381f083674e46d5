import { ClarinError } from '../../../domain/errors.ts';
import { setKommoStatus } from '../../commands/set-kommo-status.ts';
import { KommoError } from '../../kommo/errors.ts';
import {
  judgeFailure,
  warnOfExpiry,
  type ConnectionState,
  type FailedPass,
} from './judge-failure.ts';
import { write, type Session } from './session.ts';
import { LeaseLost } from '../write-in-lease.ts';

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;

/**
 * How one connection is doing: what failed rests, people are told when they can do something about it or would wonder, and
 * the first success takes it all back.
 */
export class Health {
  readonly #session: Session;
  #failures = { inARow: 0, firstAtMs: 0, notFoundInARow: 0 };
  /** Failures ever. */
  #count = 0;
  /** By the clock, ms: when everything, or a pass, may be tried again. */
  #restsUntilMs = 0;
  readonly #passes = new Map<FailedPass, number>();
  /** The tokens that no longer work: until there are others nothing is asked. */
  #refused: { readonly tokensKeptAt: string | undefined } | undefined;
  /** What people are told of the connection as a whole, and of passes that are refused. */
  #trouble: ConnectionState | undefined;
  readonly #passTroubles = new Map<FailedPass, ConnectionState>();
  #warnedDays: number | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Until this pass may be tried, ms; Infinity while the connection waits for people. */
  restMs(pass: FailedPass): number {
    const { connection, clock } = this.#session;
    if (this.#refused) {
      if (this.#refused.tokensKeptAt === connection.tokensKeptAt) return Infinity;
      this.#refused = undefined;
      this.#restsUntilMs = 0;
    }
    const until = Math.max(this.#restsUntilMs, this.#passes.get(pass) ?? 0);
    return Math.max(0, until - clock.elapsed());
  }

  /** Nothing goes on without somebody doing something. */
  isStuck(): boolean {
    return this.#refused !== undefined || this.#failures.notFoundInARow >= 3;
  }

  /** An attempt begins: what `succeed` is to be told. */
  begin(): number {
    return this.#count;
  }

  /** @throws LeaseLost; what else goes wrong with telling people is logged. */
  async fail(error: unknown, pass: FailedPass): Promise<void> {
    const { clock, log } = this.#session;
    const nowMs = clock.elapsed();
    this.#count += 1;
    if (this.#failures.inARow === 0) this.#failures.firstAtMs = nowMs;
    this.#failures.inARow += 1;
    if (!(error instanceof KommoError)) {
      log.warn({ error, pass }, 'a pass over Kommo failed');
      const backoff = Math.min(
        RETRY_MAX_MS,
        RETRY_MIN_MS * 2 ** Math.min(this.#failures.inARow, 6),
      );
      this.#passes.set(pass, nowMs + RETRY_MIN_MS + clock.random() * (backoff - RETRY_MIN_MS));
      const reason = reasonOfOurs(error, nowMs - this.#failures.firstAtMs);
      if (reason === undefined) return;
      this.#trouble = { status: 'error', reason, untilMs: undefined };
      await this.#tell(undefined);
      return;
    }
    const isNotFound = error.kind === 'not_found';
    this.#failures.notFoundInARow = isNotFound ? this.#failures.notFoundInARow + 1 : 0;
    const judgement = judgeFailure(error, pass, {
      failures: { ...this.#failures, sinceMs: nowMs - this.#failures.firstAtMs },
      nowMs: clock.now(),
      random: clock.random(),
    });
    const { state, waitMs, isOfPass } = judgement;
    const fields = {
      kind: error.kind,
      status: error.status,
      request: error.requestId,
      pass,
      waitMs,
    };
    log.warn({ ...fields, says: error.message }, 'a pass over Kommo failed');
    if (waitMs === undefined) this.#refuse(error);
    else if (isOfPass) this.#passes.set(pass, nowMs + waitMs);
    else this.#restsUntilMs = Math.max(this.#restsUntilMs, nowMs + waitMs);
    if (!state) return;
    if (isOfPass) this.#passTroubles.set(pass, state);
    else this.#trouble = state;
    await this.#tell(undefined);
  }

  /** They may be newer than what we know of the connection: renewed a moment ago, and refused all the same. */
  #refuse({ tokensKeptAt }: KommoError): void {
    const session = this.#session;
    if (tokensKeptAt !== undefined) session.connection = { ...session.connection, tokensKeptAt };
    this.#refused = { tokensKeptAt: session.connection.tokensKeptAt };
  }

  /** Somebody has done something about it: what waited for that is tried now. What Kommo asked for stays. */
  nudge(): void {
    const status = this.#trouble?.status;
    if (status === 'rate_limited' || status === 'blocked') return;
    this.#restsUntilMs = 0;
    this.#passes.clear();
  }

  /**
   * `begun`: what `begin` gave; an attempt that was under way when another one failed says nothing about what that one has
   * met. `alarm`: what people should know of although all is well. @throws LeaseLost.
   */
  async succeed(
    pass: FailedPass,
    { begun, alarm }: { begun: number; alarm: string | undefined },
  ): Promise<void> {
    if (begun !== this.#count) return;
    this.#failures = { inARow: 0, firstAtMs: 0, notFoundInARow: 0 };
    this.#trouble = undefined;
    this.#passes.delete(pass);
    this.#passTroubles.delete(pass);
    await this.#tell(alarm);
  }

  /** What people are shown now. */
  state(alarm: string | undefined): ConnectionState {
    const [ofPass] = this.#passTroubles.values();
    const trouble = this.#trouble ?? ofPass;
    if (trouble) return trouble;
    return { status: 'connected', reason: alarm ?? this.#warning(), untilMs: undefined };
  }

  #warning(): string | undefined {
    const { connection, clock, log } = this.#session;
    const warning = warnOfExpiry(
      { expiresAtMs: connection.tokenExpiresAtMs, isRenewed: connection.isRenewed },
      clock.now(),
    );
    if (warning && warning.days !== this.#warnedDays)
      log.warn({ days: warning.days }, 'the token of a Kommo account ends soon');
    this.#warnedDays = warning?.days;
    return warning?.sentence;
  }

  async #tell(alarm: string | undefined): Promise<void> {
    const session = this.#session;
    const { connection, scope, log } = session;
    const state = this.state(alarm);
    if (isSame(connection, state)) return;
    try {
      await write(session, (tx) => setKommoStatus(tx, scope, state));
      session.connection = { ...session.connection, ...state };
      log.info({ status: state.status, says: state.reason }, 'a Kommo connection is');
    } catch (error) {
      if (error instanceof LeaseLost || session.signal.aborted) throw error;
      log.warn({ error }, 'the status of a Kommo connection was not written');
    }
  }
}

/** So long we may fail before people are told. */
const SILENT_MS = 5 * 60_000;
const OURS =
  'Clarin cannot read this Kommo account at the moment. That is a fault of Clarin, which is logged; nothing is lost.';

const SEALED =
  'The access to this Kommo account was kept under a key that Clarin no longer has. Connect it again.';

/** What people are told of a failure that is not Kommo's; undefined: it may pass. */
function reasonOfOurs(error: unknown, sinceMs: number): string | undefined {
  if (error instanceof ClarinError && error.code === 'configuration') return SEALED;
  return sinceMs < SILENT_MS ? undefined : OURS;
}

type Shown = {
  readonly status: string;
  readonly reason: string | undefined;
  readonly untilMs: number | undefined;
};

const secondOf = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.ceil(ms / 1_000);

function isSame(left: Shown, right: Shown): boolean {
  return (
    left.status === right.status &&
    left.reason === right.reason?.slice(0, 500) &&
    secondOf(left.untilMs) === secondOf(right.untilMs)
  );
}
