import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { assertAdministratorLeft } from './administrators.ts';
import { assertUnmodified } from './update-user.ts';

type Options = { principal: Principal; id: number; ifMatch?: string | undefined };

/**
 * A user is deleted for good, out of all their accounts; their leads are nobody's then. False: no such user.
 * @throws ClarinError unprocessable (oneself, or the last administrator of an account), precondition_failed.
 */
export async function deleteUser(
  tx: Queries,
  { principal, id, ifMatch }: Options,
): Promise<boolean> {
  if (id === principal.userId) throw new ClarinError('unprocessable', 'you cannot delete yourself');
  // Accounts before users, as whoever changes a member does it.
  await tx.query(sql`
    select account.id
    from public.accounts as account
    where account.id in (select account_id from public.memberships where user_id = ${id})
    order by account.id
    for no key update`);
  // Two who delete each other at once take turns here, and the second one is gone already.
  const locked = await tx.query(sql`
    select id
    from public.users
    where id = ${id} or id = ${principal.userId}
    order by id
    for update`);
  const there = locked.map((row) => Number(row['id']));
  if (!there.includes(principal.userId))
    throw new ClarinError('unauthenticated', 'your user is not there any more');
  if (!there.includes(id)) return false;
  if (ifMatch !== undefined) await assertUnmodified(tx, id, ifMatch);
  const governed = await tx.query(sql`
    select member.account_id
    from public.memberships as member
    join public.roles as role
      on role.account_id = member.account_id and role.id = member.role_id and '*' = any(role.permissions)
    join public.users as person on person.id = member.user_id and person.is_active
    where member.user_id = ${id}`);
  await tx.query(sql`delete from public.users where id = ${id}`);
  for (const row of governed) await assertAdministratorLeft(tx, Number(row['account_id']));
  return true;
}
