import { isDeepStrictEqual } from 'node:util';
import { accountColumn, publishedColumns, type Entity } from '../../../domain/entity.ts';
import { mustFindEntity } from '../../../domain/registry.ts';
import { compileRowWriter } from '../../../domain/row-json.ts';
import type { SubscribedTable } from '../../../domain/feed-protocol.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { ident, join, sql } from '../../../platform/sql.ts';
import { eventually } from '../../support/services.ts';
import { ModelClient, type Snapshot } from './model-client.ts';
import type { Stack, TestAccount } from './stack.ts';

type Row = Record<string, unknown>;

/** Reads rows as Clarin shows them, straight from Postgres. */
export function openTruth(stack: Stack): Database {
  return createDatabase({
    url: stack.database.ownerUrl,
    applicationName: 'truth',
    max: 4,
    statementTimeoutMs: 60_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
}

async function readRows(truth: Database, accountId: number, entity: Entity): Promise<Row[]> {
  const columns = publishedColumns(entity);
  const scope = accountColumn(entity);
  if (scope === undefined) throw new Error(`${entity.table} is of no account`);
  const rows = await truth.query(
    sql`select ${join(columns.map(ident))} from ${ident(entity.table)} where ${ident(scope)} = ${accountId} order by id`,
  );
  const write = compileRowWriter(entity, columns);
  return rows.map((row) => JSON.parse(write(columns.map((name) => row[name]))) as Row);
}

/**
 * A snapshot as any client may take one: first a read that answers a cursor, then the rows. Every commit at or before
 * the cursor is visible to the second.
 */
function snapshotOf(stack: Stack, truth: Database, account: TestAccount): Snapshot {
  return async (table) => {
    const answer = await stack.request(account, 'GET /api/tags?limit=1');
    const cursor = answer.headers.get('clarin-cursor') ?? undefined;
    return { cursor, rows: await readRows(truth, account.id, mustFindEntity(table)) };
  };
}

export function startModel(
  stack: Stack,
  truth: Database,
  account: TestAccount,
  tables: readonly SubscribedTable[],
): Promise<ModelClient> {
  const server = (): string => stack.replicator.url;
  return startModelAt({ stack, truth, account, tables, server });
}

/** `server`: asked for each connection. */
export async function startModelAt(at: {
  stack: Stack;
  truth: Database;
  account: TestAccount;
  tables: readonly SubscribedTable[];
  server: () => string;
}): Promise<ModelClient> {
  const { stack, truth, account, tables, server } = at;
  return new ModelClient({
    url: () => `${server().replace('http', 'ws')}/feed`,
    token: () => account.token,
    tables,
    snapshot: snapshotOf(stack, truth, account),
  }).start();
}

/** Why the client's copy differs from Postgres, undefined when it does not. */
async function difference(
  model: ModelClient,
  truth: Database,
  accountId: number,
): Promise<string | undefined> {
  for (const [table, copy] of model.tables) {
    const rows = await readRows(truth, accountId, mustFindEntity(table));
    const known = [...copy.values()].sort(
      (left, right) => Number(left['id']) - Number(right['id']),
    );
    if (known.length !== rows.length)
      return `${table}: ${known.length} rows, Postgres has ${rows.length}`;
    const index = rows.findIndex((row, at) => !isDeepStrictEqual(row, known[at]));
    if (index >= 0)
      return `${table}: ${JSON.stringify(known[index])} is ${JSON.stringify(rows[index])} in Postgres`;
  }
  return undefined;
}

/** Waits until the client shows exactly what Postgres holds. */
export async function untilEqual(
  model: ModelClient,
  truth: Database,
  accountId: number,
  timeoutMs = 30_000,
): Promise<void> {
  await eventually(
    async () => {
      const why = await difference(model, truth, accountId);
      if (why !== undefined)
        throw new Error(`${why}; live ${model.isLive}, closes ${model.closes.join(' ')}`);
      return true;
    },
    { timeoutMs, everyMs: 100, says: 'the client shows what Postgres holds' },
  );
}
