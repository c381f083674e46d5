import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClarinError } from '../../domain/errors.ts';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { prepared, sql } from '../../platform/sql.ts';
import { createTestDatabase, eventually, type TestDatabase } from '../support/services.ts';

let db: TestDatabase;
let database: Database;
let owner: Database;

beforeAll(async () => {
  db = await createTestDatabase();
  const log = createLog({ component: 'api', level: 'silent' });
  const connect = (url: string, max: number) =>
    createDatabase({ url, applicationName: 'test', max, statementTimeoutMs: 10_000, log });
  database = connect(db.url, 1);
  owner = connect(db.ownerUrl, 2);
});

afterAll(async () => {
  await Promise.all([database.close(), owner.close()]);
  await db.drop();
});

async function backendPid(of: Pick<Database, 'query'>): Promise<number> {
  const [row] = await of.query(sql`select pg_backend_pid() as pid`);
  return Number(row?.['pid']);
}

test('a connection that breaks between two statements of a transaction refuses it, and the process lives', async () => {
  const refused = database.transaction(async (tx) => {
    const pid = await backendPid(tx);
    await owner.query(sql`select pg_terminate_backend(${pid})`);
    // The end arrives by itself, without a statement that could be refused.
    await eventually(
      async () => {
        const rows = await owner.query(sql`select pid from pg_stat_activity where pid = ${pid}`);
        return rows.length === 0;
      },
      { says: 'the backend is gone' },
    );
    await tx.query(sql`select 1 as one`);
  });
  await expect(refused).rejects.toMatchObject({ code: 'unavailable' });
  expect(await backendPid(database)).toBeGreaterThan(0);
});

test('a refused transaction keeps its connection: refusals are everyday, connections are dear', async () => {
  const before = await backendPid(database);
  const refused = database.transaction(async (tx) => {
    await tx.query(sql`select 1 as one`);
    throw new ClarinError('not_found', 'there is no such row');
  });
  await expect(refused).rejects.toMatchObject({ code: 'not_found' });
  expect(await backendPid(database)).toBe(before);
});

test('a statement whose caller left while it waited for a connection is not run, and the connection stays', async () => {
  await owner.query(sql`create sequence public.asked`);
  await owner.query(sql`grant usage on sequence public.asked to public`);
  const before = await backendPid(database);
  const caller = new AbortController();
  let waiting: Promise<unknown> | undefined;
  await database.transaction(async () => {
    waiting = database.query(sql`select nextval('public.asked')`, { signal: caller.signal });
    waiting.catch(() => undefined);
    await eventually(() => database.stats().waiting === 1, { says: 'it waits' });
    caller.abort(new ClarinError('timeout', 'the caller is gone'));
  });
  await expect(waiting).rejects.toMatchObject({ code: 'timeout' });
  const [row] = await owner.query(sql`select is_called from public.asked`);
  expect(row?.['is_called']).toBe('f');
  expect(await backendPid(database)).toBe(before);
});

test('a cancelled statement gives its connection to nobody else', async () => {
  const before = await backendPid(database);
  const cancelling = new AbortController();
  const waiting = database.query(sql`select pg_sleep(60) as slept`, { signal: cancelling.signal });
  await eventually(
    async () => {
      const rows = await owner.query(
        sql`select pid from pg_stat_activity where query like '%pg_sleep(60)%' and pid = ${before}`,
      );
      return rows.length === 1;
    },
    { says: 'the statement runs' },
  );
  cancelling.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'timeout' });
  expect(await backendPid(database)).not.toBe(before);
});

test('a transaction that is cancelled between two statements goes no further and writes nothing', async () => {
  const cancelling = new AbortController();
  const written = database.transaction(
    async (tx) => {
      await tx.query(sql`insert into public.accounts (name, slug) values ('never', 'never')`);
      cancelling.abort();
      await tx.query(sql`select 1 as one`);
    },
    { signal: cancelling.signal },
  );
  await expect(written).rejects.toBeInstanceOf(Error);
  expect(await owner.query(sql`select id from public.accounts where slug = 'never'`)).toEqual([]);
});

test('a prepared statement is planned once per connection, and survives that its columns change their types', async () => {
  const read = () => database.query(prepared(sql`select name from public.prepared_once`));
  await owner.query(sql`create table public.prepared_once (name varchar(10))`);
  await owner.query(sql`grant select on public.prepared_once to public`);
  await owner.query(sql`insert into public.prepared_once (name) values ('one')`);
  for (let time = 0; time < 3; time++) expect(await read()).toEqual([{ name: 'one' }]);
  const kept = await database.query(sql`
    select generic_plans + custom_plans as runs
    from pg_prepared_statements
    where statement like '%prepared_once%'`);
  expect(kept).toEqual([{ runs: '3' }]);
  await owner.query(sql`alter table public.prepared_once alter column name type text`);
  expect(await read()).toEqual([{ name: 'one' }]);
  expect(await read()).toEqual([{ name: 'one' }]);
  await owner.query(sql`drop table public.prepared_once`);
});
