import { api_keys } from '../../domain/entities/api_keys.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import { readEntity, type Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { assertMayGrant, grantOf, type Grant } from './administrators.ts';
import { updateRow } from './update-row.ts';

type Change = {
  principal: Principal;
  id: number;
  values: Readonly<Record<string, unknown>>;
  ifMatch?: string | undefined;
};

/**
 * A key is renamed, its permissions are narrowed, or its end is moved, by somebody who may do what it may. Its sockets
 * and requests follow at once. Undefined: no such key.
 * @throws ClarinError forbidden, conflict (it was revoked), unprocessable (more permissions), precondition_failed.
 */
export async function updateApiKey(tx: Queries, options: Change): Promise<Written | undefined> {
  const { principal, id, values, ifMatch } = options;
  const { accountId } = principal;
  const key = await lockKey(tx, accountId, id);
  if (!key) return undefined;
  assertMayGrant(principal, key);
  if (key.isRevoked)
    throw new ClarinError('conflict', 'this key was revoked for good: make a new one');
  const added = addedBy(key, values['permissions'] as readonly string[] | undefined);
  if (added.length > 0) {
    const says = `the permissions of a key can only be narrowed, it does not have: ${added.join(', ')}`;
    throw new ClarinError('unprocessable', says, { details: { permissions: added } });
  }
  return updateRow(tx, { entity: api_keys, accountId, id, values, ifMatch });
}

/**
 * A key is revoked for good, by whoever manages keys: a leaked one must not wait for an administrator. Once more
 * changes nothing. Gives it as it is then, JSON text; undefined: no such key.
 */
export async function revokeApiKey(
  tx: Queries,
  { accountId, id }: { accountId: number; id: number },
): Promise<string | undefined> {
  await tx.query(sql`
    update public.api_keys
    set revoked_at = now()
    where account_id = ${accountId} and id = ${id} and revoked_at is null`);
  return readEntity(tx, api_keys, { accountId, id });
}

/** What it may do, on which of its user's devices. */
async function lockKey(
  tx: Queries,
  accountId: number,
  id: number,
): Promise<(Grant & { readonly isRevoked: boolean }) | undefined> {
  const [row] = await tx.query(sql`
    select to_json(key.permissions) as permissions, to_json(role.device_ids) as device_ids,
      key.revoked_at is not null as is_revoked
    from public.api_keys as key
    join public.memberships as member on member.account_id = key.account_id and member.user_id = key.user_id
    join public.roles as role on role.account_id = member.account_id and role.id = member.role_id
    where key.account_id = ${accountId} and key.id = ${id}
    for no key update of key`);
  return row && { ...grantOf(row), isRevoked: row['is_revoked'] === 't' };
}

function addedBy(key: Grant, wanted: readonly string[] = []): string[] {
  if (key.permissions.includes('*')) return [];
  return wanted.filter((permission) => !key.permissions.includes(permission));
}
