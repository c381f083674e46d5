import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { openSession, type OpenedSession } from './open-session.ts';

type Options = { accountId: number; userId: number; passwordHash: string };

/** A user changes their password: a trigger ends all their sessions, and the one who did it gets a new one. */
export async function changePassword(tx: Queries, options: Options): Promise<OpenedSession> {
  await tx.query(sql`
    update public.users
    set password_hash = ${options.passwordHash}, failed_logins = 0, locked_until = null
    where id = ${options.userId}`);
  return openSession(tx, options);
}
