import { kommo_connections } from '../../domain/entities/kommo_connections.ts';
import { ClarinError } from '../../domain/errors.ts';
import { readEntity } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { notifyKommo } from '../../platform/kommo-notes.ts';

type Place = { accountId: number; id: number };

/**
 * Everything is to be read from Kommo once more. The worker finds the row pending, says how far it is, and when it is
 * done. Asked again while it waits, nothing changes. Gives the connection, JSON text; undefined: there is none.
 * @throws ClarinError conflict (it runs, or the connection is disconnected).
 */
export async function requestFullSync(
  tx: Queries,
  { accountId, id }: Place,
): Promise<string | undefined> {
  const state = await lockState(tx, { accountId, id });
  if (!state) return undefined;
  if (state.status === 'disconnected')
    throw new ClarinError('conflict', 'it is disconnected: connect it again first');
  if (state.sync === 'running') throw new ClarinError('conflict', 'a full sync is under way');
  await tx.query(sql`
    update public.kommo_connections
    set full_sync_state = 'pending', full_sync_done = 0, full_sync_total = null, full_sync_at = null
    where account_id = ${accountId} and id = ${id} and full_sync_state <> 'pending'`);
  await notifyKommo(tx, { kind: 'changed', connectionId: id });
  return readEntity(tx, kommo_connections, { accountId, id });
}

/**
 * The full sync is given up; what it has read stays. Gives the connection, JSON text; undefined: there is none.
 * @throws ClarinError conflict (none waits or runs).
 */
export async function cancelFullSync(
  tx: Queries,
  { accountId, id }: Place,
): Promise<string | undefined> {
  const state = await lockState(tx, { accountId, id });
  if (!state) return undefined;
  if (state.sync !== 'pending' && state.sync !== 'running')
    throw new ClarinError('conflict', 'no full sync is under way');
  await tx.query(sql`
    update public.kommo_connections
    set full_sync_state = 'cancelled'
    where account_id = ${accountId} and id = ${id}`);
  await notifyKommo(tx, { kind: 'changed', connectionId: id });
  return readEntity(tx, kommo_connections, { accountId, id });
}

type State = {
  readonly status: string | null | undefined;
  readonly sync: string | null | undefined;
};

async function lockState(tx: Queries, { accountId, id }: Place): Promise<State | undefined> {
  const [row] = await tx.query(sql`
    select status, full_sync_state
    from public.kommo_connections
    where account_id = ${accountId} and id = ${id}
    for no key update`);
  return row && { status: row['status'], sync: row['full_sync_state'] };
}
