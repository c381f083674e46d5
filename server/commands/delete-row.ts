import type { Entity } from '../../domain/entity.ts';
import { ClarinError } from '../../domain/errors.ts';
import { deleteEntity, readEntity, type Sees } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';

type Options = {
  entity: Entity;
  accountId: number;
  devices?: readonly number[] | undefined;
  id: number;
  ifMatch?: string | undefined;
  sees?: Sees;
};

/** A row is deleted for good. Gives the row as it was, JSON text. @throws ClarinError not_found, precondition_failed, conflict. */
export async function deleteRow(tx: Queries, options: Options): Promise<string> {
  const { entity, accountId, devices, id, ifMatch, sees } = options;
  const row = await readEntity(tx, entity, { accountId, devices, id, sees });
  const isDeleted = await deleteEntity(tx, entity, { accountId, devices, id, ifMatch });
  if (row === undefined || !isDeleted) throw new ClarinError('not_found', 'there is no such row');
  return row;
}
