import { ClarinError } from '../../../domain/errors.ts';
import { verifyPassword } from '../../../platform/password.ts';
import type { TextRow } from '../../../platform/postgres.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { countFailedLogin } from '../../commands/count-failed-login.ts';
import type { Context } from '../context.ts';

export type KnownUser = { readonly id: number; readonly isSuperAdmin: boolean };

/** Attempts that wait for their turn with one user; more are turned away. */
const WAITING_MAX = 20;

/**
 * Checks a user's password, one attempt per user at a time in this process: guesses made side by side would all
 * pass before the first failure is counted.
 */
export class Credentials {
  readonly #context: Context;
  readonly #turns = new Map<string, { last: Promise<unknown>; waiting: number }>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** @throws ClarinError invalid_credentials (also for users that are not there or not active), locked_out, rate_limited. */
  checkByName(username: string, password: string, signal: AbortSignal): Promise<KnownUser> {
    const name = username.trim();
    // Lower case is what the index says it is: JavaScript's differs, for Σ at the end of a word and for İ.
    const where = sql`lower(btrim(person.username)) = lower(${name})`;
    return this.#inTurn(`name ${name.toLowerCase()}`, () => this.#check(where, password, signal));
  }

  /** The same for somebody who is logged in. */
  checkById(userId: number, password: string, signal: AbortSignal): Promise<KnownUser> {
    return this.#inTurn(`id ${userId}`, () =>
      this.#check(sql`person.id = ${userId}`, password, signal),
    );
  }

  async #check(where: Sql, password: string, signal: AbortSignal): Promise<KnownUser> {
    const { database } = this.#context;
    const rows = await database.query(
      sql`
        select person.id, person.password_hash, person.is_active, person.is_super_admin,
          ceil(extract(epoch from person.locked_until - now())) as locked_seconds
        from public.users as person
        where ${where}`,
      { signal },
    );
    const row: TextRow | undefined = rows[0];
    const lockedSeconds = Number(row?.['locked_seconds'] ?? 0);
    if (lockedSeconds > 0) {
      throw new ClarinError('locked_out', 'too many failures; try again later', {
        retryAfterSeconds: lockedSeconds,
      });
    }
    const isRight = await verifyPassword(row?.['password_hash'] ?? undefined, password);
    const isActive = row?.['is_active'] === 't';
    if (row && isRight && isActive)
      return { id: Number(row['id']), isSuperAdmin: row['is_super_admin'] === 't' };
    if (row && !isRight) {
      await database.transaction((tx) => countFailedLogin(tx, Number(row['id'])), {
        origin: { source: 'api' },
      });
    }
    throw new ClarinError('invalid_credentials', 'username and password do not match');
  }

  async #inTurn<T>(key: string, attempt: () => Promise<T>): Promise<T> {
    const turn = this.#turns.get(key) ?? { last: Promise.resolve(), waiting: 0 };
    if (turn.waiting >= WAITING_MAX)
      throw new ClarinError('rate_limited', 'too many attempts at once');
    turn.waiting++;
    this.#turns.set(key, turn);
    const mine = turn.last.then(attempt, attempt);
    turn.last = mine;
    try {
      return await mine;
    } finally {
      turn.waiting--;
      if (turn.waiting === 0) this.#turns.delete(key);
    }
  }
}
