import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

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
