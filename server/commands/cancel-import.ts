import { imports } from '../../domain/entities/imports.ts';
import { ClarinError } from '../../domain/errors.ts';
import { updateEntity, type Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { removeFile } from './lease-import.ts';

type Options = { readonly accountId: number; readonly id: number };

/**
 * An import stops where it is: what it has written stays, and nothing is written after this. Once more is no fault.
 * Undefined: there is no such import in this account. @throws ClarinError conflict when it is over.
 */
export async function cancelImport(
  tx: Queries,
  { accountId, id }: Options,
): Promise<Written | undefined> {
  // A batch under way is waited for.
  const [row] = await tx.query(sql`
    select state, object_key
    from public.imports
    where account_id = ${accountId} and id = ${id}
    for no key update`);
  const state = row?.['state'];
  if (state === 'done' || state === 'failed')
    throw new ClarinError('conflict', 'the import is over already', { details: { state } });
  if (state === 'pending' || state === 'running') {
    await tx.query(sql`
      update public.imports
      set state = 'cancelled', finished_at = clock_timestamp()
      where account_id = ${accountId} and id = ${id}`);
    await removeFile(tx, accountId, row?.['object_key'] ?? '');
  }
  // Reads it back, and writes nothing more.
  return updateEntity(tx, imports, { accountId, id, values: { state: 'cancelled' } });
}
