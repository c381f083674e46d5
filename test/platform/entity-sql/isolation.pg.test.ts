import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Entity } from '../../../domain/entity.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import {
  deleteEntity,
  insertEntity,
  listEntities,
  readEntity,
  updateEntity,
} from '../../../platform/entity-sql.ts';
import { boardQuerySchema, readBoard } from '../../../platform/entity-sql/board.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { ident, sql } from '../../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../../support/account-fixture.ts';
import { createTestDatabase, type TestDatabase } from '../../support/services.ts';

/** permission denied: never a client's fault, so no code of its own. */
const DENIED = { code: 'internal', cause: { code: '42501' } };
let database: TestDatabase;
let db: Database;
let ours: AccountFixture;
let theirs: AccountFixture;
const EVERY = ENTITIES.map((entity) => [entity.table, entity] as const);

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase({
    url: database.url,
    applicationName: 'test',
    max: 2,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
  ours = await createAccount(db, 'ours');
  theirs = await createAccount(db, 'theirs');
});

afterAll(async () => {
  await db.close();
  await database.drop();
});

/** Ids of an account's rows. */
async function idsOf(entity: Entity, account: AccountFixture): Promise<number[]> {
  if (entity.scope === 'account') return [account.accountId];
  if (entity.scope === 'global') return [account.userId];
  const rows = await db.query(
    sql`select id from ${ident(entity.table)} where account_id = ${account.accountId} order by id`,
  );
  return rows.map((row) => Number(row['id']));
}

/** Everything in the table, as text: to see that nothing was touched. */
async function contentOf(entity: Entity): Promise<unknown> {
  return db.query(
    sql`select id, to_jsonb(entity)::text as row from ${ident(entity.table)} as entity order by id`,
  );
}

/** What a write gives; undefined too when nobody may write the table at all, whosever the row is. */
async function unlessDenied<T>(writing: Promise<T>): Promise<T | undefined> {
  try {
    return await writing;
  } catch (error) {
    expect(error).toMatchObject(DENIED);
    return undefined;
  }
}

/** A value that differs from any row's, for a column that a client may write. */
function changeOf(entity: Entity): Record<string, unknown> {
  for (const [name, column] of Object.entries(entity.columns)) {
    if (column.kind === 'text' && column.value.safeParse('changed').success)
      return { [name]: 'changed' };
  }
  const [link] = Object.entries(entity.columns).filter(
    ([name, column]) => name !== 'account_id' && column.references,
  );
  return link ? { [link[0]]: 1 } : { is_default: false };
}

describe.each(EVERY)('another account and %s', (_table, entity) => {
  it('reads its own row and none of theirs', async () => {
    for (const id of await idsOf(entity, ours)) {
      expect(await readEntity(db, entity, { accountId: ours.accountId, id })).toContain(
        `{"id":${id},`,
      );
      expect(await readEntity(db, entity, { accountId: theirs.accountId, id })).toBeUndefined();
    }
  });

  it('changes none of theirs', async () => {
    const before = await contentOf(entity);
    for (const id of await idsOf(entity, theirs)) {
      const place = { accountId: ours.accountId, id, values: changeOf(entity) };
      const versioned = { ...place, ifMatch: '2026-11-22T10:00:00.000000Z' };
      expect(await unlessDenied(updateEntity(db, entity, place))).toBeUndefined();
      expect(await unlessDenied(updateEntity(db, entity, versioned))).toBeUndefined();
    }
    expect(await contentOf(entity)).toEqual(before);
  });

  it('deletes none of theirs', async () => {
    const before = await contentOf(entity);
    for (const id of await idsOf(entity, theirs)) {
      const place = { accountId: ours.accountId, id };
      const versioned = { ...place, ifMatch: '2026-11-22' };
      expect(await unlessDenied(deleteEntity(db, entity, place))).not.toBe(true);
      expect(await unlessDenied(deleteEntity(db, entity, versioned))).not.toBe(true);
    }
    expect(await contentOf(entity)).toEqual(before);
  });

  it('lists none of theirs, whatever is asked for', async () => {
    if (!entity.list) return;
    const foreign = await idsOf(entity, theirs);
    const queries: Record<string, string>[] = [{}, { search: 'theirs' }, { search: 'e' }];
    for (const [name, filter] of Object.entries(entity.list.filters)) {
      if (filter.kind === 'linked') queries.push({ [name]: theirs.tagIds.join(',') });
      else if (filter.kind === 'present') queries.push({ [name]: 'true' });
      else if (filter.kind === 'equals' && entity.columns[filter.column]?.kind === 'id') {
        const rows = await db.query(sql`
          select distinct ${ident(filter.column)} as id from ${ident(entity.table)}
          where account_id = ${theirs.accountId} and ${ident(filter.column)} is not null`);
        queries.push({ [name]: rows.map((row) => row['id']).join(',') });
      }
    }
    for (const raw of queries) {
      const parsed = listQuerySchema(entity).safeParse({ ...raw, limit: '200' });
      if (!parsed.success) continue;
      const body = await listEntities(db, entity, {
        accountId: ours.accountId,
        query: parsed.data,
      });
      const shown = (JSON.parse(body) as { data: { id: number; account_id: number }[] }).data;
      for (const row of shown) {
        expect(row.account_id).toBe(ours.accountId);
        expect(foreign).not.toContain(row.id);
      }
      expect(body).not.toContain('theirs');
    }
  });

  it('can point to none of theirs', async () => {
    if (entity.scope !== 'tenant') return;
    const [id] = await idsOf(entity, ours);
    for (const [name, column] of Object.entries(entity.columns)) {
      if (
        column.references === undefined ||
        column.references === 'accounts' ||
        column.references === 'users'
      )
        continue;
      const [table = '', target = 'id'] = column.references.split('.');
      const [foreign] = await db.query(sql`
        select ${ident(target)} as id from ${ident(table)} where account_id = ${theirs.accountId} order by id limit 1`);
      const values = { [name]: Number(foreign?.['id']) };
      const writing = db.transaction((tx) =>
        updateEntity(tx, entity, { accountId: ours.accountId, id: id ?? 0, values }),
      );
      await expect(writing, `${entity.table}.${name}`).rejects.toMatchObject({
        code: expect.stringMatching(/conflict|unprocessable/) as string,
      });
    }
  });

  it('inserts into no other account', async () => {
    if (entity.scope !== 'tenant') {
      await expect(
        insertEntity(db, entity, { accountId: ours.accountId, values: {} }),
      ).rejects.toThrow('no plain insert');
      return;
    }
    for (const name of ['account_id', 'id']) {
      const values = { [name]: theirs.accountId };
      await expect(insertEntity(db, entity, { accountId: ours.accountId, values })).rejects.toThrow(
        'not for writing',
      );
    }
  });
});

it('shows no board of a foreign pipeline', async () => {
  const query = boardQuerySchema().parse({ pipeline_id: String(theirs.pipelineId) });
  expect(await readBoard(db, { accountId: ours.accountId, query })).toBeUndefined();
  expect(
    await readBoard(db, { accountId: ours.accountId, query: boardQuerySchema().parse({}) }),
  ).not.toContain('theirs');
});

it('the replicator and ingest may not read secrets', async () => {
  const replicator = createDatabase({
    url: database.replicationUrl,
    applicationName: 'test',
    max: 1,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
  await expect(replicator.query(sql`select password_hash from public.users`)).rejects.toMatchObject(
    DENIED,
  );
  await expect(
    replicator.query(sql`select token_hash from private.refresh_tokens`),
  ).rejects.toMatchObject(DENIED);
  await expect(replicator.query(sql`update public.leads set title = 'x'`)).rejects.toMatchObject(
    DENIED,
  );
  expect(
    await replicator.query(sql`select username from public.users where id = ${ours.userId}`),
  ).toHaveLength(1);
  await replicator.close();
});
