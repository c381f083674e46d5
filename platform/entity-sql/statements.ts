import type { Entity } from '../../domain/entity.ts';
import { column, empty, ident, join, prepared, sql, typeName, type Sql } from '../sql.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { parseInstant } from './instant.ts';
import { mustColumn } from './list-query.ts';
import { inReach, selectColumns, tableOf, type Reach } from './scope.ts';

/** The statements of single rows. Each holds the account's condition; test/platform proves it for every entity. */
export type Place = Reach & { readonly id: number };
type Values = Readonly<Record<string, unknown>>;

/** One row with its embeds. */
export function rowStatement(entity: Entity, place: Place): Sql {
  return prepared(sql`
    select ${selectColumns(entity, 'entity')}${selectEmbeds(entity)}
    from ${tableOf(entity.table)} as entity
    ${joinEmbeds(entity, 'entity')}
    where ${inReach(entity, 'entity', place)} and entity.id = ${place.id}`);
}

export function insertStatement(entity: Entity, accountId: number, values: Values): Sql {
  const pairs = assignments(entity, values);
  const columns = pairs.map(({ name }) => ident(name));
  const given = pairs.map(({ value }) => value);
  return sql`
    insert into ${tableOf(entity.table)} (${join([ident('account_id'), ...columns])})
    values (${join([sql`${accountId}`, ...given])})
    returning id`;
}

/** Updates only where something differs: an update that changes nothing would be noise in every browser. */
export function updateStatement(
  entity: Entity,
  place: Place,
  values: Values,
  ifMatch: string | undefined,
): Sql {
  const pairs = assignments(entity, values);
  if (pairs.length === 0) throw new Error(`update of ${entity.table} without values`);
  const sets = pairs.map(({ name, value }) => sql`${ident(name)} = ${value}`);
  const differs = pairs.map(
    ({ name, value }) => sql`${column('entity', name)} is distinct from ${value}`,
  );
  return sql`
    update ${tableOf(entity.table)} as entity
    set ${join(sets)}
    where ${inReach(entity, 'entity', place)} and entity.id = ${place.id}${unmodified(ifMatch)}
      and (${join(differs, ' or ')})
    returning entity.id`;
}

export function deleteStatement(entity: Entity, place: Place, ifMatch: string | undefined): Sql {
  return sql`
    delete from ${tableOf(entity.table)} as entity
    where ${inReach(entity, 'entity', place)} and entity.id = ${place.id}${unmodified(ifMatch)}
    returning entity.id`;
}

/** A version that is no moment matches nothing. */
function unmodified(ifMatch: string | undefined): Sql {
  if (ifMatch === undefined) return empty;
  const version = parseInstant(ifMatch);
  return version === undefined
    ? sql` and false`
    : sql` and entity.updated_at = ${version}::timestamptz`;
}

/**
 * Values cast to the columns' types, so that `is distinct from` compares what would be stored: 1.234 is 1.23 in a
 * numeric(14,2). `undefined` counts as absent.
 */
function assignments(entity: Entity, values: Values): { name: string; value: Sql }[] {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => {
      const { kind, pgType } = mustColumn(entity, name);
      if (name === 'id' || name === 'account_id')
        throw new Error(`${entity.table}.${name} is not for writing`);
      const given = kind === 'json' && value !== null ? JSON.stringify(value) : value;
      return { name, value: sql`${given}::${typeName(pgType)}` };
    });
}
