import type pg from 'pg';
import { publishedColumns, type Entity } from '../domain/entity.ts';
import { ClarinError } from '../domain/errors.ts';
import { ENTITIES } from '../domain/registry.ts';
import { queryClient, type Queries } from '../platform/postgres.ts';
import {
  readPublication,
  readTables,
  type ActualPublication,
  type ActualTable,
} from '../platform/publication-catalog.ts';
import { identityIndex } from '../platform/publication.ts';
import { ident, join, sql, type Sql } from '../platform/sql.ts';

/**
 * Makes the publication and the replica identities what the declarations say. Takes no lock and writes nothing where
 * nothing differs. Gives what was changed, in words.
 *
 * A table enters the publication, or changes its columns in it, under a SHARE lock: a transaction that wrote to it
 * before and commits after would never be decoded (docs: electric #4773). Writers wait for the end of that. Each table has
 * a transaction of its own: whoever waits for the lock of one and holds that of another is in a deadlock with a writer
 * to both, and it may be the writer who loses it. What is interrupted in the middle is finished by the next call.
 * @throws ClarinError `configuration` for a publication of all tables, which cannot be altered into ours.
 */
export async function syncPublication(client: pg.Client, name: string): Promise<string[]> {
  const db: Queries = { query: (statement) => queryClient(client, statement) };
  const actual = await readPublication(db, name);
  const tables = await readTables(
    db,
    ENTITIES.map(({ table }) => table),
  );
  if (actual?.allTables) {
    throw new ClarinError(
      'configuration',
      `Publication ${name} is for all tables. Drop it and run \`clarin migrate\` again, or set CLARIN_PUBLICATION to another name.`,
    );
  }
  const identities = ENTITIES.filter((entity) => !hasIdentity(entity, tables.get(entity.table)));
  const published = ENTITIES.filter((entity) => !isPublished(entity, actual));
  const isSame = published.length === 0 && actual !== undefined && !hasSurplus(actual);
  for (const entity of identities) await db.query(setIdentity(entity));
  if (!isSame) await writePublication(db, { name, actual, entering: published });
  return [
    ...identities.map(({ table }) => `replica identity of ${table}`),
    ...published.map(({ table }) => `columns of ${table}`),
    ...(isSame ? [] : [`publication ${name}`]),
  ];
}

const OPTIONS = sql`(publish = 'insert, update, delete, truncate', publish_via_partition_root = false)`;

type Change = {
  readonly name: string;
  readonly actual: ActualPublication | undefined;
  readonly entering: readonly Entity[];
};

async function writePublication(db: Queries, { name, actual, entering }: Change): Promise<void> {
  const publication = ident(name);
  if (!actual) await db.query(sql`create publication ${publication} with ${OPTIONS}`);
  // Lists of columns do not go with whole schemas.
  for (const schema of actual?.schemas ?? [])
    await db.query(sql`alter publication ${publication} drop tables in schema ${ident(schema)}`);
  for (const entity of entering) {
    const table = tableOf(entity.table);
    await inTransaction(db, async () => {
      await db.query(sql`lock table ${table} in share mode`);
      if (actual?.tables.has(`public.${entity.table}`))
        await db.query(sql`alter publication ${publication} drop table ${table}`);
      await db.query(sql`alter publication ${publication} add table ${publishedAs(entity)}`);
    });
  }
  // Nothing enters any more: what is not ours leaves.
  await inTransaction(db, async () => {
    await db.query(
      sql`alter publication ${publication} set table ${join(ENTITIES.map(publishedAs))}`,
    );
    await db.query(sql`alter publication ${publication} set ${OPTIONS}`);
  });
}

function publishedAs(entity: Entity): Sql {
  const columns = publishedColumns(entity).map((column) => ident(column));
  return sql`${tableOf(entity.table)} (${join(columns)})`;
}

async function inTransaction(db: Queries, work: () => Promise<void>): Promise<void> {
  await db.query(sql`begin`);
  try {
    await work();
    await db.query(sql`commit`);
  } catch (error) {
    await db.query(sql`rollback`).catch(() => undefined);
    throw error;
  }
}

function setIdentity(entity: Entity): Sql {
  const index = identityIndex(entity);
  const identity = index === undefined ? sql`default` : sql`using index ${ident(index)}`;
  return sql`alter table ${tableOf(entity.table)} replica identity ${identity}`;
}

function hasIdentity(entity: Entity, table: ActualTable | undefined): boolean {
  const index = identityIndex(entity);
  if (index === undefined) return table?.identity.kind === 'default';
  return table?.identity.kind === 'index' && table.identity.index === index;
}

function isPublished(entity: Entity, actual: ActualPublication | undefined): boolean {
  const entry = actual?.tables.get(`public.${entity.table}`);
  if (!entry || entry.rowFilter !== null) return false;
  return entry.columns.toSorted().join() === publishedColumns(entity).toSorted().join();
}

/** Something in it that is not ours, or options that are not. */
function hasSurplus(actual: ActualPublication): boolean {
  if (actual.schemas.length > 0 || actual.missingOperations.length > 0 || actual.viaRoot)
    return true;
  return actual.tables.size !== ENTITIES.length;
}

function tableOf(table: string): Sql {
  return sql`${ident('public')}.${ident(table)}`;
}
