import type { Entity } from '../../domain/entity.ts';
import { ClarinError } from '../../domain/errors.ts';
import { findEntity } from '../../domain/registry.ts';
import { inReach, tableOf } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { sqlStateOf, translateError } from '../../platform/sqlstate.ts';

const FOREIGN_KEY_VIOLATION = '23503';

/**
 * Says what a violated foreign key means for whoever *sets* a reference: the row it names is not there, or not in
 * this account, which is the same. (For whoever deletes, it means that rows still point here: a conflict.)
 */
export async function explainReferences<T>(writing: Promise<T>): Promise<T> {
  try {
    return await writing;
  } catch (error) {
    if (sqlStateOf(error) !== FOREIGN_KEY_VIOLATION) throw error;
    const { details } = translateError(error);
    throw new ClarinError('unprocessable', 'a row this refers to is not there', {
      cause: error,
      ...(details === undefined ? {} : { details }),
    });
  }
}

type Writing = {
  readonly entity: Entity;
  /** Undefined: every device of the account. */
  readonly devices?: readonly number[] | undefined;
  readonly values: Readonly<Record<string, unknown>>;
};

/**
 * Who is restricted to some devices writes rows of those: another device is not there for them, and a row of none is
 * where they could not see it. @throws ClarinError unprocessable, forbidden.
 */
export function assertWithinDevices({ entity, devices, values }: Writing, isNew: boolean): void {
  if (devices === undefined || entity.device === undefined) return;
  const device = values[entity.device];
  if (typeof device === 'number') {
    if (devices.includes(device)) return;
    throw new ClarinError('unprocessable', 'a row this refers to is not there', {
      details: { column: entity.device },
    });
  }
  if (entity.deviceless === 'shown' || (device === undefined && !isNew)) return;
  throw new ClarinError(
    'forbidden',
    'your role is for some devices only, and this would be of none of them',
  );
}

/**
 * The same for what a row refers to: what came by another device (a file) is not there for them, or whoever may have it
 * sent would read it. Asks nothing for a role of all devices. @throws ClarinError unprocessable.
 */
export async function assertReferencesWithinDevices(
  tx: Queries,
  { entity, values, ...reach }: Writing & { readonly accountId: number },
): Promise<void> {
  if (reach.devices === undefined) return;
  for (const [name, value] of Object.entries(values)) {
    const referred = findEntity(entity.columns[name]?.references ?? '');
    if (referred?.device === undefined || typeof value !== 'number') continue;
    const rows = await tx.query(sql`
      select from ${tableOf(referred.table)} as referred
      where ${inReach(referred, 'referred', reach)} and referred.id = ${value}`);
    if (rows.length > 0) continue;
    throw new ClarinError('unprocessable', 'a row this refers to is not there', {
      details: { column: name },
    });
  }
}
