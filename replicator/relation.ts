import { leaveJson, type EncodedChange, type FilterValues } from '../domain/change.ts';
import type { ColumnKind } from '../domain/column.ts';
import { accountColumn, keyColumns, publishedColumns, type Entity } from '../domain/entity.ts';
import { ClarinError } from '../domain/errors.ts';
import { compileRowWriter, type RowWriter } from '../domain/row-json.ts';
import { textOf, type RelationMessage, type Tuple } from './pgoutput.ts';

/**
 * What one Relation message says, compiled: rows of this table become encoded changes without looking anything up.
 * A table that was altered comes with a new Relation message, and one that no longer fits its declaration ends the
 * process instead of feeding half rows.
 */
export type Relation = {
  readonly entity: Entity;
  /** Undefined for a table of no account (users). */
  accountOf(row: Tuple): number | undefined;
  idOf(row: Tuple): string;
  /** True when an update that brought its old key moved the row to another key or another account. */
  isMoved(old: Tuple, row: Tuple): boolean;
  encodeRow(op: 'insert' | 'update', row: Tuple, was: FilterValues | undefined): EncodedChange;
  encodeDelete(old: Tuple, was: FilterValues | undefined): EncodedChange;
};

/** Type OIDs of pg_type.dat, which never change. A kind whose column has a type of its own is held by its pgType. */
const OIDS: Readonly<Record<string, number>> = {
  bigint: 20,
  integer: 23,
  boolean: 16,
  text: 25,
  numeric: 1700,
  'double precision': 701,
  'timestamp with time zone': 1184,
  date: 1082,
  jsonb: 3802,
  'text[]': 1009,
  'bigint[]': 1016,
};

/** @throws ClarinError `replication_drift` naming every difference between the table and its declaration. */
export function compileRelation(message: RelationMessage, entities: readonly Entity[]): Relation {
  const name = `${message.schema}.${message.table}`;
  const entity = entities.find((one) => one.table === message.table);
  if (!entity || message.schema !== 'public')
    throw drift([`${name} is published and has no declaration`]);
  const reasons = differences(entity, message);
  if (reasons.length > 0) throw drift(reasons.map((reason) => `${name}: ${reason}`));
  const positions = new Map(message.columns.map((column, index) => [column.name, index]));
  const at = (column: string): number => {
    const position = positions.get(column);
    if (position === undefined) throw new Error(`${name} has no column ${column}`);
    return position;
  };
  const encoders = compileEncoders(entity, at);
  const account = accountColumn(entity);
  const accountAt = account === undefined ? undefined : at(account);
  const idAt = at('id');
  const identityAt = entity.identity.map(at);
  return {
    entity,
    accountOf: (row) =>
      accountAt === undefined ? undefined : parseId(mustText(row, accountAt, name)),
    idOf: (row) => mustText(row, idAt, name),
    isMoved: (old, row) =>
      identityAt.some((index) => mustText(old, index, name) !== mustText(row, index, name)),
    ...encoders,
  };
}

function drift(reasons: readonly string[]): ClarinError {
  return new ClarinError('replication_drift', reasons.join('; '), { details: { reasons } });
}

function differences(entity: Entity, message: RelationMessage): string[] {
  const reasons: string[] = [];
  const declared = publishedColumns(entity);
  const present = new Map(message.columns.map((column) => [column.name, column]));
  for (const name of declared) {
    const column = present.get(name);
    if (!column) reasons.push(`column ${name} is not published`);
    else if (!isOfType(entity.columns[name]?.pgType ?? '', column.typeOid)) {
      reasons.push(`column ${name} is no longer of type ${entity.columns[name]?.pgType}`);
    }
  }
  for (const name of present.keys())
    if (!declared.includes(name)) reasons.push(`column ${name} is not declared`);
  const key = message.columns.filter((column) => column.isKey).map((column) => column.name);
  const isSame =
    key.length === entity.identity.length && key.every((name) => entity.identity.includes(name));
  if (!isSame) {
    reasons.push(
      `its replica identity is (${key.join(', ')}) and should be (${entity.identity.join(', ')})`,
    );
  }
  return reasons;
}

function isOfType(pgType: string, oid: number): boolean {
  const known = OIDS[pgType.replace(/\(.*\)$/, '')];
  return known === undefined || known === oid;
}

function mustText(row: Tuple, index: number, name: string): string {
  const text = textOf(row, index);
  if (typeof text === 'string') return text;
  throw new ClarinError('internal', `${name}: a key column has no value`);
}

function parseId(text: string): number {
  const id = Number(text);
  if (!Number.isSafeInteger(id)) throw new ClarinError('internal', `not an account: ${text}`);
  return id;
}

type Encoders = Pick<Relation, 'encodeRow' | 'encodeDelete'>;

function compileEncoders(entity: Entity, at: (column: string) => number): Encoders {
  const { table } = entity;
  const key = compileProjection(entity, keyColumns(entity), at);
  const all = compileProjection(entity, publishedColumns(entity), at);
  const open = publishedColumns(entity).filter(
    (name) => entity.columns[name]?.permission === undefined,
  );
  const isRestricted = open.length < publishedColumns(entity).length;
  const restricted = isRestricted ? compileProjection(entity, open, at) : undefined;
  const filters = entity.feedFilters.map((name) => ({ name, index: at(name) }));
  const filtersInKey = filters.every(({ name }) => entity.identity.includes(name));
  const heads = {
    insert: `{"table":${JSON.stringify(table)},"op":"insert","key":`,
    update: `{"table":${JSON.stringify(table)},"op":"update","key":`,
  };

  const filterValues = (row: Tuple): FilterValues => {
    const values: Record<string, string | null> = {};
    for (const { name, index } of filters) {
      const text = textOf(row, index);
      // A TOASTed filter would come without its value; ids and short texts are never TOASTed.
      if (text === undefined)
        throw new ClarinError('internal', `${table}.${name} came without its value`);
      values[name] = text;
    }
    return values;
  };

  return {
    encodeRow: (op, row, was) => {
      const keyJson = key.write(row);
      const head = `${heads[op]}${keyJson},"row":`;
      const now = filterValues(row);
      const change = {
        table,
        op,
        json: flat(head + all.write(row) + all.unchanged(row)),
        keyJson,
        now,
        was: was === undefined ? null : { ...now, ...was },
      };
      if (!restricted) return change;
      return {
        ...change,
        restrictedJson: flat(head + restricted.write(row) + restricted.unchanged(row)),
      };
    },
    encodeDelete: (old, was) => {
      const known = was ?? (filtersInKey && filters.length > 0 ? filterValues(old) : null);
      const change = {
        table,
        op: 'delete' as const,
        json: '',
        keyJson: key.write(old),
        now: null,
        was: known,
      };
      return { ...change, json: leaveJson(change) };
    },
  };
}

type Projection = {
  write(row: Tuple): string;
  /** `,"unchanged":[...]}` or `}` */ unchanged(row: Tuple): string;
};

function compileProjection(
  entity: Entity,
  names: readonly string[],
  at: (column: string) => number,
): Projection {
  const writer: RowWriter = compileRowWriter(entity, names);
  const indexes = names.map(at);
  const mayBeToasted = names.map((name) => isToastable(entity.columns[name]?.kind));
  return {
    write: (row) => writer(indexes.map((index) => textOf(row, index))),
    unchanged: (row) => {
      const missing = names.filter(
        (_, i) => mayBeToasted[i] && row.lengths[indexes[i] ?? -1] === -2,
      );
      return missing.length === 0 ? '}' : `,"unchanged":${JSON.stringify(missing)}}`;
    },
  };
}

function isToastable(kind: ColumnKind | undefined): boolean {
  return (
    kind === 'text' ||
    kind === 'json' ||
    kind === 'text_array' ||
    kind === 'id_array' ||
    kind === 'numeric'
  );
}

/** Concatenation leaves a tree of pieces that weighs several times its text; looking into it makes it one piece. */
function flat(text: string): string {
  text.charCodeAt(text.length - 1);
  return text;
}
