import type { AccountCommit, EncodedChange, FilterValues } from '../../domain/change.ts';
import { leaveJson } from '../../domain/change.ts';
import type { Column } from '../../domain/column.ts';
import type { Entity } from '../../domain/entity.ts';
import { ClarinError } from '../../domain/errors.ts';
import { whyNotSubscribable, type SubscribedTable } from '../../domain/feed-protocol.ts';
import { may, type Principal } from '../../domain/permission.ts';
import { mustFindEntity } from '../../domain/registry.ts';

/**
 * Who sees which change. Everything here is pure: live delivery and resume ask the same functions, so that a
 * subscriber cannot tell which of the two it was served by.
 */

/** Columns and the text Postgres prints for the value wanted; all of them must hold. */
export type Filter = readonly (readonly [
  column: string,
  value: string | null | ReadonlySet<string | null>,
])[];

type TableAudience = {
  readonly filter: Filter;
  /** False: the role lacks a permission that one of the columns needs, and gets the row without them. */
  readonly seesAllColumns: boolean;
};

/** What one subscription may see. Two subscriptions of an account with the same `key` get the same frames. */
export type Audience = {
  readonly key: string;
  /** Equal for two that see the same rows, whichever columns of them. */
  readonly rows: string;
  readonly tables: ReadonlyMap<string, TableAudience>;
};

type Request = {
  readonly id: string;
  readonly tables: readonly SubscribedTable[];
  readonly principal: Principal;
};

/** @throws ClarinError `invalid_request` or `forbidden`, with a sentence for the author of the subscription. */
export function compileAudience({ id, tables, principal }: Request): Audience {
  const problem = whyNotSubscribable(tables);
  if (problem !== undefined) throw new ClarinError('invalid_request', problem);
  const compiled = new Map<string, TableAudience>();
  const rows: unknown[] = [];
  const columns: boolean[] = [];
  for (const { table, where } of [...tables].sort((a, b) => (a.table < b.table ? -1 : 1))) {
    const entity = mustFindEntity(table);
    if (entity.permission !== undefined && !may(principal, entity.permission)) {
      throw new ClarinError(
        'forbidden',
        `your role may not see "${table}": it needs "${entity.permission}"`,
      );
    }
    const filter = [
      ...compileFilter(entity, where ?? {}, principal),
      ...restrictToDevices(entity, principal),
    ];
    const seesAllColumns = Object.values(entity.columns).every((column) =>
      maySee(column, principal),
    );
    compiled.set(table, { filter, seesAllColumns });
    rows.push([
      table,
      filter.map(([name, value]) => [name, value instanceof Set ? [...value] : value]),
    ]);
    columns.push(seesAllColumns);
  }
  return {
    key: JSON.stringify([id, rows, columns]),
    rows: JSON.stringify(rows),
    tables: compiled,
  };
}

function maySee(column: Column, principal: Principal): boolean {
  return column.permission === undefined || may(principal, column.permission);
}

/** A role that is restricted to some devices sees rows of those, the same as in platform/entity-sql/scope.ts. */
function restrictToDevices(entity: Entity, { deviceIds, isSuperAdmin }: Principal): Filter {
  if (entity.device === undefined || deviceIds === null || isSuperAdmin) return [];
  const seen = new Set<string | null>([...deviceIds].sort((a, b) => a - b).map(String));
  if (entity.deviceless === 'shown') seen.add(null);
  return [[entity.device, seen]];
}

function compileFilter(
  entity: Entity,
  where: NonNullable<SubscribedTable['where']>,
  principal: Principal,
): Filter {
  const names = Object.keys(where).sort();
  return names.map((name) => {
    const column = entity.columns[name];
    if (!column || !maySee(column, principal)) {
      throw new ClarinError('forbidden', `your role may not see "${entity.table}"."${name}"`);
    }
    const value = where[name];
    return [
      name,
      value === undefined ? null : filterText(column, value, `${entity.table}.${name}`),
    ] as const;
  });
}

/** The text Postgres prints for a value of the column's kind: `12` for 12 and "12", `t` for true. */
function filterText(
  column: Column,
  value: string | number | boolean | null,
  name: string,
): string | null {
  if (value === null) return null;
  const text = String(value);
  switch (column.kind) {
    case 'id':
    case 'int':
      if (/^-?\d{1,19}$/.test(text)) return BigInt(text).toString();
      throw new ClarinError(
        'invalid_request',
        `"${name}" is compared with a whole number, not with ${JSON.stringify(value)}`,
      );
    case 'boolean':
      if (text === 'true' || text === 't') return 't';
      if (text === 'false' || text === 'f') return 'f';
      throw new ClarinError(
        'invalid_request',
        `"${name}" is compared with true or false, not with ${JSON.stringify(value)}`,
      );
    case 'numeric':
    case 'text':
    case 'timestamp':
    case 'date':
    case 'json':
    case 'text_array':
    case 'id_array':
      return text;
    default:
      return column.kind satisfies never;
  }
}

/** A value that is not known counts as wanted: a row too many is harmless, a row that stays behind is not. */
function matches(values: FilterValues, filter: Filter): boolean {
  return filter.every(([column, wanted]) => {
    const value = values[column];
    if (value === undefined) return true;
    return wanted instanceof Set ? wanted.has(value) : value === wanted;
  });
}

/**
 * `same`: the subscriber gets the change as it is (the row enters or stays, is deleted, or the whole table is meant);
 * `leave`: the row was in the filter and no longer is, the subscriber gets a delete; undefined: not its business.
 */
export function judge(change: EncodedChange, filter: Filter): 'same' | 'leave' | undefined {
  switch (change.op) {
    case 'bulk':
    case 'truncate':
      return 'same';
    case 'delete':
      return change.was === null || matches(change.was, filter) ? 'same' : undefined;
    case 'insert':
    case 'update': {
      const now = change.now ?? {};
      if (matches(now, filter)) return 'same';
      // Nothing is announced of before where no filter column changed: it was outside, too.
      return change.was !== null && matches({ ...now, ...change.was }, filter)
        ? 'leave'
        : undefined;
    }
    default:
      return change.op satisfies never;
  }
}

/** JSON texts of what the audience sees of a commit, in order; empty when it is not its business. */
export function selectChanges(
  commit: AccountCommit,
  audience: Audience,
): { readonly json: string }[] {
  const seen: { readonly json: string }[] = [];
  for (const change of commit.changes) {
    const table = audience.tables.get(change.table);
    if (!table) continue;
    const verdict = judge(change, table.filter);
    if (verdict === undefined) continue;
    if (verdict === 'leave') seen.push({ json: leaveJson(change) });
    else if (table.seesAllColumns || change.restrictedJson === undefined) seen.push(change);
    else seen.push({ json: change.restrictedJson });
  }
  return seen;
}
