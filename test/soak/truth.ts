import { accountColumn, publishedColumns } from '../../domain/entity.ts';
import { ENTITIES, mustFindEntity } from '../../domain/registry.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database, type Queries } from '../../platform/postgres.ts';
import { ident, join, sql } from '../../platform/sql.ts';

export type Row = Record<string, unknown>;
export type Rows = Map<number, Row>;

/** Every table that a feed may carry. */
export const FEED_TABLES = ENTITIES.filter((entity) => entity.scope !== 'global').map(
  ({ table }) => table,
);

/** Postgres as its owner sees it, past everything of ours. */
export function openTruth(url: string): Database {
  return createDatabase({
    url,
    applicationName: 'truth',
    max: 6,
    statementTimeoutMs: 60_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
}

/** Rows by id as Clarin shows them, all under one snapshot that is taken after this is called. */
export async function readTruth(
  truth: Database,
  accountId: number,
  tables: readonly string[],
): Promise<Map<string, Rows>> {
  const { value } = await truth.transaction(
    async (tx) => {
      const all = new Map<string, Rows>();
      for (const table of tables) all.set(table, await readTable(tx, accountId, table));
      return all;
    },
    { readOnly: true, wantsLsn: false },
  );
  return value;
}

async function readTable(queries: Queries, accountId: number, table: string): Promise<Rows> {
  const entity = mustFindEntity(table);
  const scope = accountColumn(entity);
  if (scope === undefined) throw new Error(`${table} is of no account`);
  const columns = publishedColumns(entity);
  const rows = await queries.query(sql`
    select ${join(columns.map(ident))} from ${ident('public')}.${ident(table)}
    where ${ident(scope)} = ${accountId}`);
  const write = compileRowWriter(entity, columns);
  return new Map(
    rows.map((row) => {
      const shown = JSON.parse(write(columns.map((name) => row[name]))) as Row;
      return [Number(shown['id']), shown];
    }),
  );
}
