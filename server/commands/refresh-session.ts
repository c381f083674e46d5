import type { SessionRef } from '../../platform/access.ts';
import { loadPrincipal } from '../../platform/access.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { digestOf, makeRefreshToken, SESSION_DAYS } from './open-session.ts';

/** `reused`: the token had been used before, and the session is revoked now; keep the transaction. */
export type Refreshed =
  | { readonly outcome: 'refreshed'; readonly session: SessionRef; readonly refreshToken: string }
  | { readonly outcome: 'reused' }
  | { readonly outcome: 'refused' };

/**
 * A refresh token is exchanged for the next of its family. Each works once: a second use means that two have it, so
 * the whole family, which is the session, ends. Two at the very same instant count as that too.
 * RFC 9700 section 4.14.2
 */
export async function refreshSession(tx: Queries, token: string): Promise<Refreshed> {
  const rows = await tx.query(sql`
    select token.id, token.account_id, token.session_id, session.user_id, token.used_at,
      token.expires_at > now() as is_fresh
    from private.refresh_tokens as token
    join public.sessions as session on session.account_id = token.account_id and session.id = token.session_id
    where token.token_hash = decode(${digestOf(token)}, 'hex')
    for update of token`);
  const row = rows[0];
  if (!row) return { outcome: 'refused' };
  const session: SessionRef = {
    sessionId: Number(row['session_id']),
    userId: Number(row['user_id']),
    accountId: Number(row['account_id']),
  };
  if (row['used_at'] !== null) {
    await tx.query(sql`
      update public.sessions
      set revoked_at = now()
      where account_id = ${session.accountId} and id = ${session.sessionId} and revoked_at is null`);
    return { outcome: 'reused' };
  }
  if (row['is_fresh'] !== 't' || !(await loadPrincipal(tx, session))) return { outcome: 'refused' };
  const next = makeRefreshToken();
  await tx.query(sql`
    with used as (
      update private.refresh_tokens
      set used_at = now()
      where id = ${row['id']}
    )
    insert into private.refresh_tokens (account_id, session_id, token_hash, expires_at)
    values (${session.accountId}, ${session.sessionId}, decode(${next.digest}, 'hex'),
      now() + make_interval(days => ${SESSION_DAYS}))`);
  // Every write of a session is seen by its account's sockets, so its end is moved once in half its life only.
  await tx.query(sql`
    update public.sessions
    set expires_at = now() + make_interval(days => ${SESSION_DAYS})
    where account_id = ${session.accountId} and id = ${session.sessionId}
      and expires_at < now() + make_interval(days => ${SESSION_DAYS / 2})`);
  return { outcome: 'refreshed', session, refreshToken: next.token };
}
