import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { openSession, type OpenedSession } from './open-session.ts';

/**
 * A user goes on in another account, in a session of its own; the one they come from stays open. Super admins may
 * enter every active account. @throws ClarinError not_found when the account is not theirs.
 */
export async function switchAccount(
  tx: Queries,
  { principal, accountId }: { principal: Principal; accountId: number },
): Promise<OpenedSession> {
  const rows = await tx.query(sql`
    select account.id
    from public.accounts as account
    where account.id = ${accountId} and account.is_active
      and (
        ${principal.isSuperAdmin}::boolean
        or exists (
          select from public.memberships as member
          where member.account_id = account.id and member.user_id = ${principal.userId}
        )
      )`);
  if (rows.length === 0) throw new ClarinError('not_found', 'there is no such account');
  return openSession(tx, { accountId, userId: principal.userId });
}
