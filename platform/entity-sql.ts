import type { Entity } from '../domain/entity.ts';
import type { Permission } from '../domain/permission.ts';
import type { Queries } from './postgres.ts';
import type { ListQuery } from './entity-sql/list-query.ts';

/**
 * Plain reads and writes of every entity, from its declaration, each scoped by the account. Bodies are JSON text
 * whose row part is byte for byte what the feed shows; nothing is parsed on the way.
 *
 * Scope: tenant rows by account_id; the account itself by its id; users (global) by a membership in the account.
 */
export type Sees = (permission: Permission) => boolean;

type Reading = {
  accountId: number;
  /** Whether the caller may see columns that need this permission; absent: all of them. */
  sees?: Sees | undefined;
  signal?: AbortSignal | undefined;
};

/** A row after a write. `json` is the row with its embeds, as readEntity gives it; `etag` its updated_at, RFC 3339. */
export type Written = { readonly id: number; readonly json: string; readonly etag: string; readonly changed: boolean };

/** The row with its embeds, `{...}` (the caller puts it into `{"data":...}`); undefined: no such row in this account. One statement. */
export async function readEntity(
  _db: Queries,
  _entity: Entity,
  _options: Reading & { id: number },
): Promise<string | undefined> {
  throw new Error('not yet');
}

/** `{"data":[...],"total":n,"page":p,"limit":l,"next_cursor":"..."}`. One statement. page is absent when reading by cursor, next_cursor on the last page. */
export async function listEntities(
  _db: Queries,
  _entity: Entity,
  _options: Reading & { query: ListQuery },
): Promise<string> {
  throw new Error('not yet');
}

/**
 * Inserts and reads back (two statements: run it in a transaction). `values` by column name, JSON values, already
 * validated; columns a client may not write are allowed here. The account is set by us.
 */
export async function insertEntity(
  _tx: Queries,
  _entity: Entity,
  _options: Reading & { values: Readonly<Record<string, unknown>> },
): Promise<Written> {
  throw new Error('not yet');
}

/**
 * Sets only `values` and reads back. Nothing is written when nothing differs (`changed` is false). Undefined: no such row in this account.
 * `ifMatch`: the etag the caller has seen. @throws ClarinError precondition_failed when the row has another by now.
 */
export async function updateEntity(
  _tx: Queries,
  _entity: Entity,
  _options: Reading & { id: number; values: Readonly<Record<string, unknown>>; ifMatch?: string | undefined },
): Promise<Written | undefined> {
  throw new Error('not yet');
}

/** False: no such row in this account. @throws ClarinError precondition_failed, conflict (rows point here). */
export async function deleteEntity(
  _tx: Queries,
  _entity: Entity,
  _options: { accountId: number; id: number; ifMatch?: string | undefined },
): Promise<boolean> {
  throw new Error('not yet');
}

/**
 * updated_at of a body that holds one row (`{...}` or `{"data":{...}}`), RFC 3339 with microseconds: the ETag
 * without its quotes. Works on cached bytes too: jsonb and escaped text never hold this very sequence.
 */
export function etagOf(body: string): string | undefined {
  return /"updated_at":"([^"]+)"/.exec(body)?.[1];
}
