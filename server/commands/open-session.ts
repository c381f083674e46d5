import { createHash, randomBytes } from 'node:crypto';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** A session ends this long after its last refresh. */
export const SESSION_DAYS = 30;

export type OpenedSession = { readonly sessionId: number; readonly refreshToken: string };

/** A user enters an account: a session and its first refresh token, of which only the digest is kept. */
export async function openSession(
  tx: Queries,
  { accountId, userId }: { accountId: number; userId: number },
): Promise<OpenedSession> {
  const { token, digest } = makeRefreshToken();
  const rows = await tx.query(sql`
    with session as (
      insert into public.sessions (account_id, user_id, expires_at)
      values (${accountId}, ${userId}, now() + make_interval(days => ${SESSION_DAYS}))
      returning id, account_id, expires_at
    )
    insert into private.refresh_tokens (account_id, session_id, token_hash, expires_at)
    select account_id, id, decode(${digest}, 'hex'), expires_at
    from session
    returning session_id`);
  return { sessionId: Number(rows[0]?.['session_id']), refreshToken: token };
}

/** 32 random bytes for the client and their SHA-256, in hex, for us: nothing that leaks from the database opens a session. */
export function makeRefreshToken(): { token: string; digest: string } {
  const token = randomBytes(32).toString('base64url');
  return { token, digest: digestOf(token) };
}

export function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
