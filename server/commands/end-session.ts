import { sessions } from '../../domain/entities/sessions.ts';
import { ClarinError } from '../../domain/errors.ts';
import { may, type Principal } from '../../domain/permission.ts';
import { readEntity } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { assertMayGrant, readMember } from './administrators.ts';
import { revokeSession } from './revoke-session.ts';

/**
 * Somebody ends a session by its id: one of their own, or, managing users, a member's who has no more permissions than
 * they have. Gives it as it is then, JSON text; undefined: there is none, or it is not theirs to see.
 * @throws ClarinError forbidden, unprocessable (a program's, which ends with its key).
 */
export async function endSession(
  tx: Queries,
  { principal, id }: { principal: Principal; id: number },
): Promise<string | undefined> {
  const { accountId } = principal;
  const rows = await tx.query(sql`
    select user_id, api_key_id from public.sessions where account_id = ${accountId} and id = ${id}`);
  const userId = Number(rows[0]?.['user_id']);
  if (userId !== principal.userId) {
    if (rows.length === 0 || !may(principal, 'users')) return undefined;
    const member = await readMember(tx, accountId, userId);
    if (member) assertMayGrant(principal, member);
  }
  if (rows[0]?.['api_key_id'])
    throw new ClarinError('unprocessable', 'this is the session of an API key: revoke the key', {
      details: { api_key_id: Number(rows[0]['api_key_id']) },
    });
  await revokeSession(tx, { accountId, sessionId: id });
  return readEntity(tx, sessions, { accountId, id });
}
