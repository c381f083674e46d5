import { accounts } from '../../domain/entities/accounts.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/permission.ts';
import type { Queries } from '../../platform/postgres.ts';
import { deleteRow } from './delete-row.ts';

type Options = { principal: Principal; id: number; ifMatch?: string | undefined };

/**
 * An account is deleted for good, with everything in it, by one statement: all foreign keys lead to it and cascade.
 * Its users stay, in their other accounts or in none. Gives the account as it was, JSON text.
 * @throws ClarinError not_found, precondition_failed, unprocessable (the account one is in).
 */
export async function deleteAccount(
  tx: Queries,
  { principal, id, ifMatch }: Options,
): Promise<string> {
  if (id === principal.accountId)
    throw new ClarinError('unprocessable', 'you are in this account: go to another one first');
  return deleteRow(tx, { entity: accounts, accountId: id, id, ifMatch });
}
