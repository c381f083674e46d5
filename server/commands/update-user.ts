import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import { formatTimestamp } from '../../domain/row-json.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  assertAdministratorLeft,
  assertMayGrant,
  lockAdministration,
  readGrant,
  readMember,
} from './administrators.ts';

export type UserChange = {
  readonly display_name?: string | undefined;
  readonly email?: string | null | undefined;
  readonly is_active?: boolean | undefined;
  readonly passwordHash?: string | undefined;
  readonly roleId?: number | undefined;
};

type Options = {
  principal: Principal;
  id: number;
  change: UserChange;
  /** The person's updated_at as the caller has seen it. */
  ifMatch?: string | undefined;
};

/**
 * A member of the account is changed. The person (name, address, password, being active) belongs to all their
 * accounts, so only who is in no other account can be changed so; their role here is this account's own affair.
 * False: no such member. @throws ClarinError forbidden, unprocessable, precondition_failed, conflict.
 */
export async function updateUser(
  tx: Queries,
  { principal, id, change, ifMatch }: Options,
): Promise<boolean> {
  const { accountId } = principal;
  await lockAdministration(tx, accountId);
  const member = await readMember(tx, accountId, id);
  if (!member) return false;
  if (ifMatch !== undefined) await assertUnmodified(tx, id, ifMatch);
  const { roleId, ...person } = change;
  assertMayGrant(principal, member);
  if (roleId !== undefined) {
    assertMayGrant(principal, await readGrant(tx, accountId, roleId));
    await tx.query(sql`
      update public.memberships
      set role_id = ${roleId}
      where account_id = ${accountId} and id = ${member.membershipId} and role_id <> ${roleId}`);
  }
  if (Object.values(person).some((value) => value !== undefined)) {
    if (!principal.isSuperAdmin && member.isSuperAdmin) {
      throw new ClarinError(
        'forbidden',
        'a super administrator is changed by super administrators only',
      );
    }
    if (!principal.isSuperAdmin && member.accounts > 1) {
      throw new ClarinError(
        'forbidden',
        'this user belongs to other accounts too; you can change their role here',
      );
    }
    await updatePerson(tx, id, person);
  }
  await assertAdministratorLeft(tx, accountId);
  return true;
}

/** @throws ClarinError precondition_failed when the person's updated_at is another by now. Locks the person. */
export async function assertUnmodified(tx: Queries, id: number, ifMatch: string): Promise<void> {
  const rows = await tx.query(
    sql`select updated_at from public.users where id = ${id} for no key update`,
  );
  if (formatTimestamp(rows[0]?.['updated_at'] ?? '') === ifMatch) return;
  throw new ClarinError('precondition_failed', 'the row has changed since the version in If-Match');
}

async function updatePerson(
  tx: Queries,
  id: number,
  change: Omit<UserChange, 'roleId'>,
): Promise<void> {
  const { display_name: displayName, email, is_active: isActive, passwordHash } = change;
  await tx.query(sql`
    update public.users
    set display_name = coalesce(${displayName ?? null}, display_name),
      email = case when ${email !== undefined}::boolean then ${email ?? null}::text else email end,
      is_active = coalesce(${isActive ?? null}::boolean, is_active),
      password_hash = coalesce(${passwordHash ?? null}, password_hash),
      failed_logins = case when ${passwordHash !== undefined}::boolean then 0 else failed_logins end,
      locked_until = case when ${passwordHash !== undefined}::boolean then null else locked_until end
    where id = ${id}`);
}
