import { roles } from '../../domain/entities/roles.ts';
import type { Principal } from '../../domain/permission.ts';
import { readEntity, type Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import {
  assertAdministratorLeft,
  assertMayGrant,
  lockAdministration,
  readRolePermissions,
} from './administrators.ts';
import { createRow } from './create-row.ts';
import { updateRow } from './update-row.ts';

type Values = Readonly<Record<string, unknown>>;

/** A role is made, with permissions its maker has. @throws ClarinError forbidden, conflict. */
export function createRole(
  tx: Queries,
  { principal, values }: { principal: Principal; values: Values },
): Promise<Written> {
  assertMayGrant(principal, permissionsOf(values));
  return createRow(tx, { entity: roles, accountId: principal.accountId, values });
}

type Update = { principal: Principal; id: number; values: Values; ifMatch?: string | undefined };

/**
 * A role is changed: never beyond what who changes it has, never so that nobody administers the account.
 * Undefined: no such role. @throws ClarinError forbidden, unprocessable, precondition_failed, conflict.
 */
export async function updateRole(
  tx: Queries,
  { principal, id, values, ifMatch }: Update,
): Promise<Written | undefined> {
  const { accountId } = principal;
  await lockAdministration(tx, accountId);
  if ((await readEntity(tx, roles, { accountId, id })) === undefined) return undefined;
  assertMayGrant(principal, await readRolePermissions(tx, accountId, id));
  assertMayGrant(principal, permissionsOf(values));
  const written = await updateRow(tx, { entity: roles, accountId, id, values, ifMatch });
  await assertAdministratorLeft(tx, accountId);
  return written;
}

function permissionsOf(values: Values): string[] {
  return (values['permissions'] as string[] | undefined) ?? [];
}
