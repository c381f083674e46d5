import { ClarinError } from '../../domain/errors.ts';
import { may, PERMISSIONS, type Permission, type Principal } from '../../domain/permission.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
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

/** What a role gives: permissions, and the devices they hold for, null for all. */
export type Grant = {
  readonly permissions: readonly string[];
  readonly deviceIds: readonly number[] | null;
};

/** Nobody gives away, or rules over, more than they have. @throws ClarinError forbidden, naming what is lacking. */
export function assertMayGrant(principal: Principal, { permissions, deviceIds }: Grant): void {
  const wanted = permissions.includes('*') ? PERMISSIONS : permissions;
  const lacking = wanted.filter((permission) => !may(principal, permission as Permission));
  if (lacking.length > 0) {
    const says = `you cannot grant permissions you do not have: ${lacking.join(', ')}`;
    throw new ClarinError('forbidden', says, { details: { permissions: lacking } });
  }
  const own = principal.deviceIds;
  if (own === null) return;
  if (deviceIds === null)
    throw new ClarinError('forbidden', 'you cannot grant all devices: your role has some of them', {
      details: { device_ids: 'all' },
    });
  const foreign = deviceIds.filter((id) => !own.includes(id));
  if (foreign.length === 0) return;
  throw new ClarinError('forbidden', 'you cannot grant devices your role does not have', {
    details: { device_ids: foreign },
  });
}

/** What a role of the account gives. @throws ClarinError unprocessable when there is no such role. */
export async function readGrant(tx: Queries, accountId: number, roleId: number): Promise<Grant> {
  const rows = await tx.query(sql`
    select to_json(permissions) as permissions, to_json(device_ids) as device_ids
    from public.roles
    where account_id = ${accountId} and id = ${roleId}`);
  if (!rows[0])
    throw new ClarinError('unprocessable', 'there is no such role', {
      details: { column: 'role_id' },
    });
  return grantOf(rows[0]);
}

/** From a row with the columns `permissions` and `device_ids` as JSON. */
export function grantOf(row: TextRow): Grant {
  return {
    permissions: JSON.parse(row['permissions'] ?? '[]') as string[],
    deviceIds: JSON.parse(row['device_ids'] ?? 'null') as number[] | null,
  };
}

export type Member = Grant & {
  readonly membershipId: number;
  readonly roleId: number;
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
    select member.id, member.role_id, to_json(role.permissions) as permissions,
      to_json(role.device_ids) as device_ids, person.is_super_admin,
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
    ...grantOf(row),
    isSuperAdmin: row['is_super_admin'] === 't',
    accounts: Number(row['accounts']),
  };
}
