import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { notifyKommo } from '../../platform/kommo-notes.ts';

type Options = { accountId: number; connectionId: number; connectedIds: readonly number[] };

/**
 * The pipelines of a Kommo account that are followed from now on; the others no longer are, and what came of them
 * stays as it is (apply-kommo-lead-plan.ts): only what is deleted over there goes to the trash here too. False: no such connection. @throws ClarinError unprocessable, naming ids that are of none of its pipelines.
 */
export async function chooseKommoPipelines(
  tx: Queries,
  { accountId, connectionId, connectedIds }: Options,
): Promise<boolean> {
  // Locked, so that two who choose at once do not each leave half of it.
  const rows = await tx.query(sql`
    select connection.id, array(
      select wanted.id
      from unnest(${[...connectedIds]}::bigint[]) as wanted (id)
      where not exists (
        select from public.kommo_pipelines as pipeline
        where pipeline.account_id = connection.account_id and pipeline.connection_id = connection.id
          and pipeline.id = wanted.id
      )
    )::text[] as unknown_ids
    from public.kommo_connections as connection
    where connection.account_id = ${accountId} and connection.id = ${connectionId}
    for no key update of connection`);
  const [row] = rows;
  if (!row) return false;
  const unknown = (row['unknown_ids'] ?? '{}').slice(1, -1);
  if (unknown !== '')
    throw new ClarinError('unprocessable', `there is no such Kommo pipeline: ${unknown}`, {
      details: { column: 'connected_ids', ids: unknown.split(',').map(Number) },
    });
  await tx.query(sql`
    update public.kommo_pipelines
    set is_connected = not is_connected
    where account_id = ${accountId} and connection_id = ${connectionId}
      and is_connected <> (id = any(${[...connectedIds]}::bigint[]))`);
  await notifyKommo(tx, { kind: 'changed', connectionId });
  return true;
}
