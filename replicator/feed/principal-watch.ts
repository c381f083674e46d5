import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import { loadPrincipal, type SessionRef } from '../../platform/access.ts';
import { sleep } from '../../platform/backoff.ts';
import type { Log } from '../../platform/log.ts';
import type { Queries } from '../../platform/postgres.ts';
import { RECHECK_ATTEMPTS, RECHECK_BACKOFF_MS } from './limits.ts';

type Options = { readonly database: Queries; readonly log: Log };

/**
 * Who a socket's user is now. Known, or being read again because the write-ahead log brought a change that may concern
 * it; a change that comes while it is being read makes it be read once more. An answer counts only when no change came
 * since the question.
 */
export class PrincipalWatch {
  readonly #options: Options;
  readonly #end = new AbortController();
  #session: SessionRef | undefined;
  #candidate: SessionRef | undefined;
  #principal: Principal | undefined;
  #changes = 0;
  #isSettling = false;
  #waiters: ((isKnown: boolean) => void)[] = [];

  constructor(options: Options) {
    this.#options = options;
  }

  /** Undefined while it is not known: nothing may be sent then. */
  get principal(): Principal | undefined {
    return this.#principal;
  }

  get sessionIds(): readonly number[] {
    return [this.#session, this.#candidate].flatMap((session) =>
      session ? [session.sessionId] : [],
    );
  }

  use(session: SessionRef): void {
    this.#session = session;
  }

  /** What is known may be wrong from here on. */
  invalidate(): void {
    this.#changes++;
    this.#principal = undefined;
  }

  /** The first look. Undefined: there is no such session. @throws ClarinError. */
  load(): Promise<Principal | undefined> {
    return this.#read(
      () => this.#session,
      (principal) => {
        this.#principal = principal;
        return principal;
      },
    );
  }

  /**
   * Another session of the same user takes its place when it is good; what is known stays in force meanwhile.
   * False when it is not good. @throws ClarinError.
   */
  async switchTo(session: SessionRef, judge: (principal: Principal) => void): Promise<boolean> {
    this.#candidate = session;
    try {
      const isGood = await this.#read(
        () => session,
        (principal) => {
          if (principal) this.#session = session;
          return this.#accept(principal, judge);
        },
      );
      return isGood ?? false;
    } finally {
      this.#candidate = undefined;
    }
  }

  /** Reads again after invalidate(), calls `judge` with the answer and lets the waiting go on. */
  async settle(
    judge: (principal: Principal) => void,
  ): Promise<'known' | 'gone' | 'settled elsewhere'> {
    if (this.#isSettling) return 'settled elsewhere';
    this.#isSettling = true;
    try {
      const isKnown = await this.#read(
        () => this.#session,
        (principal) => this.#accept(principal, judge),
      );
      if (isKnown === undefined) return 'settled elsewhere';
      return isKnown ? 'known' : 'gone';
    } finally {
      this.#isSettling = false;
    }
  }

  #accept(principal: Principal | undefined, judge: (principal: Principal) => void): boolean {
    if (!principal) return false;
    this.#principal = principal;
    judge(principal);
    this.#wake(true);
    return true;
  }

  /** Resolves when the principal is known again; false when the session is over. */
  async cleared(): Promise<boolean> {
    if (this.#end.signal.aborted) return false;
    if (this.#principal) return true;
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  end(): void {
    this.#end.abort();
    this.#principal = undefined;
    this.#wake(false);
  }

  /**
   * A database that does not answer is asked again a few times; then the socket must go: doubt is not permission.
   * `accept` runs in the same turn in which the answer was found to be current: a promise in between would let a change
   * slip through. Undefined when the session ended first.
   */
  async #read<T>(
    session: () => SessionRef | undefined,
    accept: (principal: Principal | undefined) => T,
  ): Promise<T | undefined> {
    for (let attempt = 1; !this.#end.signal.aborted;) {
      const changes = this.#changes;
      const wanted = session();
      if (!wanted) return undefined;
      try {
        const principal = await loadPrincipal(this.#options.database, wanted);
        if (this.#end.signal.aborted) return undefined;
        if (changes === this.#changes && wanted === session()) return accept(principal);
      } catch (error) {
        if (!(error instanceof ClarinError) || attempt >= RECHECK_ATTEMPTS) throw error;
        this.#options.log.debug({ error, attempt }, 'a principal could not be read');
        await sleep(RECHECK_BACKOFF_MS * attempt, this.#end.signal).catch(() => undefined);
        attempt++;
      }
    }
    return undefined;
  }

  #wake(isKnown: boolean): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve(isKnown);
  }
}
