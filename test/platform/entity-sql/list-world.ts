import { expect } from 'vitest';
import { publishedColumns, type Entity } from '../../../domain/entity.ts';
import { listEntities } from '../../../platform/entity-sql.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database, type TextRow } from '../../../platform/postgres.ts';
import { ident, join, sql } from '../../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../../support/account-fixture.ts';
import { createTestDatabase } from '../../support/services.ts';

export type Page = {
  data: { id: number }[];
  total: number;
  page?: number;
  limit: number;
  next_cursor?: string;
};

type Raw = Record<string, string>;

/** An account between two others, read with the rights of the API. */
export type World = {
  readonly db: Database;
  readonly account: AccountFixture;
  /** A list of the account, at most 200 rows when nothing else is said. */
  list(entity: Entity, raw?: Raw): Promise<Page>;
  /** Ids of a list that fits on one page. */
  ids(entity: Entity, raw?: Raw): Promise<number[]>;
  /** All rows of the account, by plain SQL: what every list is compared with. */
  rowsOf(entity: Entity): Promise<TextRow[]>;
  close(): Promise<void>;
};

export async function openWorld(): Promise<World> {
  const database = await createTestDatabase();
  const db = createDatabase({
    url: database.url,
    applicationName: 'test',
    max: 2,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
  await createAccount(db, 'before');
  const account = await createAccount(db, 'ours');
  await createAccount(db, 'after');
  const { accountId } = account;
  const list = async (entity: Entity, raw: Raw = {}): Promise<Page> => {
    const query = listQuerySchema(entity).parse({ limit: '200', ...raw });
    return JSON.parse(await listEntities(db, entity, { accountId, query })) as Page;
  };
  return {
    db,
    account,
    list,
    ids: async (entity, raw) => {
      const page = await list(entity, raw);
      expect(page.total).toBe(page.data.length);
      return page.data.map(({ id }) => id);
    },
    rowsOf: (entity) =>
      db.query(sql`
        select ${join(publishedColumns(entity).map((name) => ident(name)))}
        from ${ident(entity.table)} where account_id = ${accountId}`),
    close: async () => {
      await db.close();
      await database.drop();
    },
  };
}

export const ascending = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);

export const idsOf = (rows: readonly TextRow[]): number[] =>
  ascending(rows.map((row) => Number(row['id'])));

/** Rows that the list shows when nothing is asked: those that no `present` filter hides. */
export function shownByDefault(entity: Entity, rows: readonly TextRow[]): TextRow[] {
  const hidden = Object.values(entity.list?.filters ?? {}).filter(({ kind }) => kind === 'present');
  return rows.filter((row) =>
    hidden.every((filter) => filter.kind !== 'present' || row[filter.column] === null),
  );
}
