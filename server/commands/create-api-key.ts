import { api_keys } from '../../domain/entities/api_keys.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import type { NewApiKey } from '../../platform/api-key.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { assertMayGrant } from './administrators.ts';
import { createRow } from './create-row.ts';

type Options = {
  principal: Principal;
  key: NewApiKey;
  name: string;
  permissions: readonly string[];
  /** RFC 3339; absent: until it is revoked. */
  expiresAt?: string | null | undefined;
};

/**
 * A program gets a key of its maker's, with permissions its maker has. A trigger opens the session it works in.
 * @throws ClarinError forbidden, unprocessable (a super admin who is no member here: a key acts for members).
 */
export async function createApiKey(tx: Queries, options: Options): Promise<Written> {
  const { principal, key, name, permissions, expiresAt } = options;
  const { accountId, userId, deviceIds } = principal;
  if (principal.roleId === null)
    throw new ClarinError('unprocessable', 'a key acts for a member of the account: become one');
  assertMayGrant(principal, { permissions, deviceIds });
  const values = {
    user_id: userId,
    name,
    prefix: key.prefix,
    key_hash: `\\x${key.digest}`,
    permissions: [...permissions],
    expires_at: expiresAt ?? null,
  };
  return createRow(tx, { entity: api_keys, accountId, values });
}
