import { roles } from '../../domain/entities/roles.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import { readEntity, type Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  assertAdministratorLeft,
  assertMayGrant,
  lockAdministration,
  readGrant,
  type Grant,
} from './administrators.ts';
import { createRow } from './create-row.ts';
import { deleteRow } from './delete-row.ts';
import { updateRow } from './update-row.ts';

type Values = Readonly<Record<string, unknown>>;

/**
 * A role is made, with permissions and devices its maker has.
 * @throws ClarinError forbidden, conflict, unprocessable (a device that is not there).
 */
export async function createRole(
  tx: Queries,
  { principal, values }: { principal: Principal; values: Values },
): Promise<Written> {
  const { accountId } = principal;
  const grant = grantIn(values, { permissions: [], deviceIds: null });
  assertMayGrant(principal, grant);
  await assertDevices(tx, accountId, grant);
  return createRow(tx, { entity: roles, accountId, values });
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
  const before = await readGrant(tx, accountId, id);
  assertMayGrant(principal, before);
  const grant = grantIn(values, before);
  assertMayGrant(principal, grant);
  if (values['device_ids'] !== undefined) await assertDevices(tx, accountId, grant);
  const written = await updateRow(tx, { entity: roles, accountId, id, values, ifMatch });
  await assertAdministratorLeft(tx, accountId);
  return written;
}

/**
 * A role that nobody has any more is deleted, by who has all that it gives. Gives the role as it was, JSON text.
 * @throws ClarinError not_found, forbidden, precondition_failed, conflict (somebody has it).
 */
export async function deleteRole(
  tx: Queries,
  { principal, id, ifMatch }: { principal: Principal; id: number; ifMatch?: string | undefined },
): Promise<string> {
  const { accountId } = principal;
  await lockAdministration(tx, accountId);
  if ((await readEntity(tx, roles, { accountId, id })) !== undefined)
    assertMayGrant(principal, await readGrant(tx, accountId, id));
  return deleteRow(tx, { entity: roles, accountId, id, ifMatch });
}

/** What the role gives then: as before where `values` do not say. */
function grantIn(values: Values, before: Grant): Grant {
  const { permissions = before.permissions, device_ids = before.deviceIds } = values;
  return {
    permissions: permissions as readonly string[],
    deviceIds: device_ids as readonly number[] | null,
  };
}

/** @throws ClarinError unprocessable, naming ids that are of no device of the account. */
async function assertDevices(tx: Queries, accountId: number, { deviceIds }: Grant): Promise<void> {
  if (deviceIds === null || deviceIds.length === 0) return;
  const rows = await tx.query(sql`
    select wanted.id
    from unnest(${[...deviceIds]}::bigint[]) as wanted (id)
    where not exists (
      select from public.devices as device where device.account_id = ${accountId} and device.id = wanted.id
    )`);
  if (rows.length === 0) return;
  const unknown = rows.map((row) => Number(row['id']));
  throw new ClarinError('unprocessable', `there is no such device: ${unknown.join(', ')}`, {
    details: { column: 'device_ids', device_ids: unknown },
  });
}
