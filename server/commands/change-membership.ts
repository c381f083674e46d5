import { memberships } from '../../domain/entities/memberships.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  assertAdministratorLeft,
  assertMayGrant,
  grantOf,
  lockAdministration,
  readGrant,
} from './administrators.ts';
import { createRow } from './create-row.ts';
import { deleteRow } from './delete-row.ts';
import { updateRow } from './update-row.ts';

type Values = Readonly<Record<string, unknown>>;

/**
 * A user who exists becomes a member of the account. For super administrators: ids of users are not of any account,
 * and trying them out would show who there is. Others create users, or change those they have.
 * @throws ClarinError forbidden, conflict, unprocessable.
 */
export async function createMembership(
  tx: Queries,
  { principal, values }: { principal: Principal; values: Values },
): Promise<Written> {
  if (!principal.isSuperAdmin) {
    throw new ClarinError(
      'forbidden',
      'only super administrators add existing users; create a new one',
    );
  }
  return createRow(tx, { entity: memberships, accountId: principal.accountId, values });
}

type Update = { principal: Principal; id: number; values: Values; ifMatch?: string | undefined };

/** A member gets another role. Undefined: no such membership. @throws ClarinError forbidden, unprocessable. */
export async function updateMembership(tx: Queries, options: Update): Promise<Written | undefined> {
  const { principal, id, values, ifMatch } = options;
  const { accountId } = principal;
  await lockAdministration(tx, accountId);
  const row = await readMembership(tx, accountId, id);
  if (!row) return undefined;
  assertMayGrant(principal, grantOf(row));
  if (values['is_default'] !== undefined) assertOwnDefault(principal, row);
  if (typeof values['role_id'] === 'number') {
    assertMayGrant(principal, await readGrant(tx, accountId, values['role_id']));
  }
  const written = await updateRow(tx, { entity: memberships, accountId, id, values, ifMatch });
  await assertAdministratorLeft(tx, accountId);
  return written;
}

/**
 * A member leaves the account; their leads are nobody's then. Gives the membership as it was.
 * @throws ClarinError not_found, forbidden, unprocessable.
 */
export async function deleteMembership(
  tx: Queries,
  { principal, id, ifMatch }: { principal: Principal; id: number; ifMatch?: string | undefined },
): Promise<string> {
  const { accountId } = principal;
  await lockAdministration(tx, accountId);
  const row = await readMembership(tx, accountId, id);
  if (row) assertMayGrant(principal, grantOf(row));
  const deleted = await deleteRow(tx, { entity: memberships, accountId, id, ifMatch });
  await assertAdministratorLeft(tx, accountId);
  return deleted;
}

/** A user has one default account: naming it here takes it from another account, which is no affair of this one's. */
function assertOwnDefault(principal: Principal, row: TextRow): void {
  const isOwn = Number(row['user_id']) === principal.userId;
  if (isOwn || principal.isSuperAdmin || row['accounts'] === '1') return;
  throw new ClarinError(
    'forbidden',
    'this user belongs to other accounts too; they choose their default one themselves',
  );
}

async function readMembership(
  tx: Queries,
  accountId: number,
  id: number,
): Promise<TextRow | undefined> {
  const rows = await tx.query(sql`
    select to_json(role.permissions) as permissions, to_json(role.device_ids) as device_ids, member.user_id,
      (select count(*) from public.memberships as every where every.user_id = member.user_id) as accounts
    from public.memberships as member
    join public.roles as role on role.account_id = member.account_id and role.id = member.role_id
    where member.account_id = ${accountId} and member.id = ${id}`);
  return rows[0];
}
