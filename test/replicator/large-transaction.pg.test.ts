import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';
import { changesOf, connect, createSlotBy, one, tail, type Tail } from './support.ts';

let database: TestDatabase;
let client: pg.Client;
let decoded: Tail;
let accounts: [number, number];

beforeAll(async () => {
  database = await createTestDatabase();
  client = await connect(database.ownerUrl);
  const create = async (slug: string): Promise<number> =>
    Number(
      (await one(client, 'insert into accounts (name, slug) values ($1, $1) returning id', [slug]))[
        'id'
      ],
    );
  accounts = [await create('one'), await create('two')];
  await createSlotBy(client, database.name);
  decoded = tail({ url: database.replicationUrl, slot: database.name });
  await decoded.stream.started;
});

afterAll(async () => {
  await decoded.stream.stop();
  await client.end();
  await database.drop();
});

const insertTags = (account: number, from: number, to: number): Promise<unknown> =>
  client.query(
    `insert into tags (account_id, name) select $1, 'tag ' || n from generate_series($2::int, $3::int) as n`,
    [account, from, to],
  );

describe('large transactions', () => {
  test('[R9] the change above the bound turns its table into one marker at the place of the first', async () => {
    const [account, other] = accounts;
    await client.query('begin');
    await client.query(`insert into contacts (account_id, name) values ($1, 'before')`, [account]);
    await insertTags(account, 1, 20_000);
    await client.query('commit');
    await client.query('begin');
    await client.query(`insert into contacts (account_id, name) values ($1, 'before')`, [account]);
    await insertTags(account, 20_001, 40_001);
    await client.query(`insert into contacts (account_id, name) values ($1, 'after')`, [account]);
    await insertTags(other, 1, 2);
    await client.query('commit');
    const [exact, above] = await decoded.settle(client);
    expect(changesOf(exact, account)).toHaveLength(20_001);
    expect(
      changesOf(above, account).map(
        (change) => `${String(change['table'])} ${String(change['op'])}`,
      ),
    ).toEqual(['contacts insert', 'tags bulk', 'contacts insert']);
    expect(changesOf(above, other)).toHaveLength(2);
    expect(above?.changesCount).toBe(20_005);
  });

  test('[R9] too many bytes make the largest tables markers first', async () => {
    const [account] = accounts;
    await client.query('begin');
    await client.query(`insert into tags (account_id, name) values ($1, 'small')`, [account]);
    await client.query(
      `insert into contacts (account_id, name, notes)
       select $1, 'c' || n, repeat('n', 9000) from generate_series(1, 5000) as n`,
      [account],
    );
    await client.query('commit');
    const [transaction] = await decoded.settle(client);
    expect(
      changesOf(transaction, account).map(
        (change) => `${String(change['table'])} ${String(change['op'])}`,
      ),
    ).toEqual(['tags insert', 'contacts bulk']);
    expect(transaction?.bytes).toBeLessThan(2_000);
  });

  test('memory stays flat while a transaction of 300,000 rows goes by', async () => {
    const [account] = accounts;
    await client.query('truncate tags cascade');
    await decoded.settle(client);
    const before = process.memoryUsage();
    let heapPeak = 0;
    const sampler = setInterval(
      () => (heapPeak = Math.max(heapPeak, process.memoryUsage().heapUsed)),
      20,
    );
    await insertTags(account, 1, 300_000);
    const [transaction] = await decoded.settle(client);
    clearInterval(sampler);
    expect(transaction?.changesCount).toBe(300_000);
    expect(changesOf(transaction, account)).toEqual([{ table: 'tags', op: 'bulk', key: {} }]);
    expect(process.memoryUsage().rss - before.rss).toBeLessThan(150 * 1024 * 1024);
    expect(heapPeak - before.heapUsed).toBeLessThan(120 * 1024 * 1024);
  });
});
