import { ClarinError } from '../../domain/errors.ts';
import { may, PERMISSIONS, type Permission, type Principal } from '../../domain/permission.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** Rules that keep an account governable, shared by the commands that touch roles, members and users. */

/** Serialises changes of who administers the account: two that each look fine may leave nobody together. */
export async function lockAdministration(tx: Queries, accountId: number): Promise<void> {
  await tx.query(sql`select id from public.accounts where id = ${accountId} for no key update`);
}

/** After the change, in its transaction. @throws ClarinError unprocessable when nobody active has the role `*` any more. */
export async function assertAdministratorLeft(tx: Queries, accountId: number): Promise<void> {
  const rows = await tx.query(sql`
    select member.id
    from public.memberships as member
    join public.roles as role
      on role.account_id = member.account_id and role.id = member.role_id and '*' = any(role.permissions)
    join public.users as person on person.id = member.user_id and person.is_active
    where member.account_id = ${accountId}
    limit 1`);
  if (rows.length === 0)
    throw new ClarinError('unprocessable', 'the account would have no administrator left', {
      details: { account_id: accountId },
    });
}

/** Nobody gives away, or rules over, more than they have. @throws ClarinError forbidden. */
export function assertMayGrant(principal: Principal, permissions: readonly string[]): void {
  const wanted = permissions.includes('*') ? PERMISSIONS : permissions;
  const lacking = wanted.filter((permission) => !may(principal, permission as Permission));
  if (lacking.length === 0) return;
  throw new ClarinError('forbidden', 'you cannot grant permissions you do not have', {
    details: { permissions: lacking },
  });
}

/** Permissions of a role of the account. @throws ClarinError unprocessable when there is no such role. */
export async function readRolePermissions(
  tx: Queries,
  accountId: number,
  roleId: number,
): Promise<string[]> {
  const rows = await tx.query(sql`
    select to_json(permissions) as permissions
    from public.roles
    where account_id = ${accountId} and id = ${roleId}`);
  const text = rows[0]?.['permissions'];
  if (!text)
    throw new ClarinError('unprocessable', 'there is no such role', {
      details: { column: 'role_id' },
    });
  return JSON.parse(text) as string[];
}

export type Member = {
  readonly membershipId: number;
  readonly roleId: number;
  readonly permissions: readonly string[];
  readonly isSuperAdmin: boolean;
  /** Accounts the user is a member of, this one included. */
  readonly accounts: number;
};

/** A user as a member of the account; undefined when they are none. */
export async function readMember(
  tx: Queries,
  accountId: number,
  userId: number,
): Promise<Member | undefined> {
  const rows = await tx.query(sql`
    select member.id, member.role_id, to_json(role.permissions) as permissions, person.is_super_admin,
      (select count(*) from public.memberships as every where every.user_id = member.user_id) as accounts
    from public.memberships as member
    join public.roles as role on role.account_id = member.account_id and role.id = member.role_id
    join public.users as person on person.id = member.user_id
    where member.account_id = ${accountId} and member.user_id = ${userId}`);
  const row = rows[0];
  if (!row) return undefined;
  return {
    membershipId: Number(row['id']),
    roleId: Number(row['role_id']),
    permissions: JSON.parse(row['permissions'] ?? '[]') as string[],
    isSuperAdmin: row['is_super_admin'] === 't',
    accounts: Number(row['accounts']),
  };
}
