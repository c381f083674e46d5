import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { digestOf } from './open-session.ts';

/** Somebody logs out: the session's tokens stop working, its sockets are closed by what the WAL says. */
export async function revokeSession(
  tx: Queries,
  { accountId, sessionId }: { accountId: number; sessionId: number },
): Promise<void> {
  await tx.query(sql`
    update public.sessions
    set revoked_at = now()
    where account_id = ${accountId} and id = ${sessionId} and revoked_at is null`);
}

/**
 * The same by a refresh token, for who has no access token any more. One that was used already will do: it names its
 * session all the same. Nothing happens for a token that is none.
 */
export async function revokeSessionOfToken(tx: Queries, refreshToken: string): Promise<void> {
  await tx.query(sql`
    update public.sessions as session
    set revoked_at = now()
    from private.refresh_tokens as token
    where token.token_hash = decode(${digestOf(refreshToken)}, 'hex')
      and session.account_id = token.account_id and session.id = token.session_id
      and session.revoked_at is null`);
}
