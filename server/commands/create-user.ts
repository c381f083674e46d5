import type { Principal } from '../../domain/permission.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { assertMayGrant, readGrant } from './administrators.ts';

type Options = {
  principal: Principal;
  username: string;
  displayName: string;
  email?: string | null | undefined;
  passwordHash: string;
  roleId: number;
};

/**
 * Somebody new joins the account: a user and a membership. Gives the user's id.
 * @throws ClarinError forbidden, unprocessable (no such role), conflict (the name or address is taken).
 */
export async function createUser(tx: Queries, options: Options): Promise<number> {
  const { principal, username, displayName, email, passwordHash, roleId } = options;
  const { accountId } = principal;
  assertMayGrant(principal, await readGrant(tx, accountId, roleId));
  const rows = await tx.query(sql`
    with person as (
      insert into public.users (username, email, password_hash, display_name)
      values (${username.trim()}, ${email ?? null}, ${passwordHash}, ${displayName})
      returning id
    )
    insert into public.memberships (account_id, user_id, role_id, is_default)
    select ${accountId}::bigint, person.id, ${roleId}::bigint, true
    from person
    returning user_id`);
  return Number(rows[0]?.['user_id']);
}
