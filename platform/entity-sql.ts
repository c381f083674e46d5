import type { Entity } from '../domain/entity.ts';
import { ClarinError } from '../domain/errors.ts';
import { formatTimestamp } from '../domain/row-json.ts';
import { compileBodyWriter, type Sees } from './entity-sql/body.ts';
import { listStatement, writeList } from './entity-sql/list.ts';
import type { ListQuery } from './entity-sql/list-query.ts';
import {
  deleteStatement,
  insertStatement,
  rowStatement,
  updateStatement,
} from './entity-sql/statements.ts';
import type { Reach } from './entity-sql/scope.ts';
import type { Queries, TextRow } from './postgres.ts';

/**
 * Plain reads and writes of every entity, from its declaration, each scoped by the account. Bodies are JSON text
 * whose row part is byte for byte what the feed shows; nothing is parsed on the way.
 *
 * Scope: tenant rows by account_id; the account itself by its id; users (global) by a membership in the account.
 */
export type Reading = Reach & {
  /** Whether the caller may see columns that need this permission; absent: all of them. */
  sees?: Sees | undefined;
  signal?: AbortSignal | undefined;
};

export type { Sees };

/** A row after a write. `json` is the row with its embeds, as readEntity gives it; `etag` its updated_at, RFC 3339. */
export type Written = {
  readonly id: number;
  readonly json: string;
  readonly etag: string;
  readonly changed: boolean;
};

type Writing = Reading & { values: Readonly<Record<string, unknown>> };

/**
 * The row with its embeds, `{...}` (the caller puts it into `{"data":...}`); undefined: no such row in this account.
 * One statement.
 */
export async function readEntity(
  db: Queries,
  entity: Entity,
  options: Reading & { id: number },
): Promise<string | undefined> {
  const [row] = await db.query(rowStatement(entity, options), { signal: options.signal });
  return row && compileBodyWriter(entity, options.sees)(row);
}

/**
 * `{"data":[...],"total":n,"page":p,"limit":l,"next_cursor":"..."}`. One statement. page is absent when reading by
 * cursor, next_cursor on the last page.
 */
export async function listEntities(
  db: Queries,
  entity: Entity,
  options: Reading & { query: ListQuery },
): Promise<string> {
  const { query, sees, signal } = options;
  const rows = await db.query(listStatement(entity, options, query), { signal });
  return writeList(entity, query, rows, sees);
}

/**
 * Inserts and reads back (two statements: run it in a transaction). `values` by column name, JSON values, already
 * validated; columns a client may not write are allowed here. The account is set by us. Not for accounts and users,
 * which commands make together with what puts them in reach. @throws ClarinError conflict, unprocessable.
 */
export async function insertEntity(
  tx: Queries,
  entity: Entity,
  options: Writing,
): Promise<Written> {
  if (entity.scope !== 'tenant') throw new Error(`${entity.table} has no plain insert`);
  const [inserted] = await tx.query(insertStatement(entity, options.accountId, options.values));
  const id = Number(inserted?.['id']);
  const [row] = await tx.query(rowStatement(entity, { accountId: options.accountId, id }));
  if (!row) throw new ClarinError('internal', `a new row of ${entity.table} is not in its account`);
  return written(entity, row, { sees: options.sees, changed: true });
}

/**
 * Sets only `values` and reads back. Nothing is written when nothing differs (`changed` is false). Undefined: no
 * such row in this account. `ifMatch`: the etag the caller has seen.
 * @throws ClarinError precondition_failed when the row has another etag by now; conflict, unprocessable.
 */
export async function updateEntity(
  tx: Queries,
  entity: Entity,
  options: Writing & { id: number; ifMatch?: string | undefined },
): Promise<Written | undefined> {
  const { values, ifMatch, sees } = options;
  const updated = await tx.query(updateStatement(entity, options, values, ifMatch));
  // Read back by a statement of its own, because triggers and whoever was waited for have changed the row too.
  const [row] = await tx.query(rowStatement(entity, options));
  if (!row) return undefined;
  const changed = updated.length > 0;
  if (!changed && ifMatch !== undefined && ifMatch !== etagOf(row)) throw modified();
  return written(entity, row, { sees, changed });
}

/** False: no such row in this account. @throws ClarinError precondition_failed, conflict (rows point here). */
export async function deleteEntity(
  tx: Queries,
  entity: Entity,
  options: Reach & { id: number; ifMatch?: string | undefined },
): Promise<boolean> {
  const deleted = await tx.query(deleteStatement(entity, options, options.ifMatch));
  if (deleted.length > 0) return true;
  if (options.ifMatch === undefined) return false;
  const [row] = await tx.query(rowStatement(entity, options));
  if (row) throw modified();
  return false;
}

function etagOf(row: TextRow): string {
  return formatTimestamp(row['updated_at'] ?? '');
}

function modified(): ClarinError {
  return new ClarinError(
    'precondition_failed',
    'the row has changed since the version in If-Match',
  );
}

function written(
  entity: Entity,
  row: TextRow,
  options: { sees: Sees | undefined; changed: boolean },
): Written {
  return {
    id: Number(row['id']),
    json: compileBodyWriter(entity, options.sees)(row),
    etag: etagOf(row),
    changed: options.changed,
  };
}
