import type { Entity } from '../../domain/entity.ts';
import { insertEntity, type Sees, type Written } from '../../platform/entity-sql.ts';
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
  values: Readonly<Record<string, unknown>>;
  sees?: Sees;
};

/** A row is created. @throws ClarinError conflict, unprocessable, forbidden (for a role of some devices). */
export async function createRow(tx: Queries, { entity, ...options }: Options): Promise<Written> {
  assertWithinDevices({ entity, ...options }, true);
  await assertReferencesWithinDevices(tx, { entity, ...options });
  return explainReferences(insertEntity(tx, entity, options));
}
