import type { Entity } from '../../domain/entity.ts';
import { updateEntity, type Sees, type Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import {
  assertReferencesWithinDevices,
  assertWithinDevices,
  explainReferences,
} from './refusals.ts';

type Options = {
  entity: Entity;
  accountId: number;
  devices?: readonly number[] | undefined;
  id: number;
  values: Readonly<Record<string, unknown>>;
  ifMatch?: string | undefined;
  sees?: Sees;
};

/**
 * A row is changed, in the named columns only; nothing is written when nothing differs. Undefined: no such row.
 * @throws ClarinError precondition_failed, conflict, unprocessable, forbidden (for a role of some devices).
 */
export async function updateRow(
  tx: Queries,
  { entity, ...options }: Options,
): Promise<Written | undefined> {
  assertWithinDevices({ entity, ...options }, false);
  await assertReferencesWithinDevices(tx, { entity, ...options });
  return explainReferences(updateEntity(tx, entity, options));
}
