import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { createTestDatabase, eventually, type TestDatabase } from '../support/services.ts';
import { changesOf, connect, createSlotBy, one, tail, type Tail } from './support.ts';

let database: TestDatabase;
let client: pg.Client;
let other: pg.Client;
let decoded: Tail;
let account: number;
let slot: string;
let slots = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  client = await connect(database.ownerUrl);
  other = await connect(database.ownerUrl);
  const row = await one(
    client,
    `insert into accounts (name, slug) values ('one', 'one') returning id`,
  );
  account = Number(row['id']);
});
beforeEach(async () => {
  slot = `${database.name}_${++slots}`;
  await createSlotBy(client, slot);
  decoded = tail({ url: database.replicationUrl, slot });
  await decoded.stream.started;
});
afterEach(async () => {
  await client.query('rollback');
  await decoded.stream.stop();
  await eventually(() => client.query('select pg_drop_replication_slot($1)', [slot]));
});
afterAll(async () => {
  await client.end();
  await other.end();
  await database.drop();
});

/** Enough to be sent while the transaction goes on, and not enough for a marker. */
const MANY = 3_000;

const insertMany = (prefix: string): Promise<unknown> =>
  client.query(
    `insert into tags (account_id, name) select $1, $2 || ' ' || n from generate_series(1, $3::int) as n`,
    [account, prefix, MANY],
  );

/** Does `work` in the open transaction, and waits until Postgres has sent some of what it wrote. */
async function streamed(work: () => Promise<unknown>): Promise<void> {
  const before = decoded.stream.receivedBytes;
  await work();
  await eventually(
    async () => {
      // The walsender reads what is flushed, and it is others who flush.
      await other.query(`select pg_logical_emit_message(true, 'flush', '')`);
      return decoded.stream.receivedBytes - before > 100_000;
    },
    { says: 'a stretch of the transaction is sent before it ends' },
  );
}

const namesOf = (transaction: Parameters<typeof changesOf>[0]): string[] =>
  changesOf(transaction, account).map((change) => (change['row'] as { name: string }).name);

/** Each prefix with all its rows, in order. */
const all = (...prefixes: string[]): string[] =>
  prefixes.flatMap((prefix) => Array.from({ length: MANY }, (_, n) => `${prefix} ${n + 1}`));

const withChanges = (transactions: Awaited<ReturnType<Tail['settle']>>) =>
  transactions.filter(({ commits }) => commits.length > 0);

describe('a large transaction under way', () => {
  test('[R9] holds up nobody: others are decoded before it ends, and it comes whole, in commit order', async () => {
    await client.query('begin');
    await streamed(() => insertMany('large'));
    await other.query(`insert into tags (account_id, name) values ($1, 'meanwhile')`, [account]);
    const meanwhile = await decoded.find((each) => namesOf(each)[0] === 'meanwhile');
    await client.query('commit');
    await other.query(`insert into tags (account_id, name) values ($1, 'afterwards')`, [account]);
    const [first, large, last] = withChanges(await decoded.settle(other));
    expect(first).toBe(meanwhile);
    expect(namesOf(large)).toEqual(all('large'));
    expect(namesOf(last)).toEqual(['afterwards']);
    expect(large && first && last && first.lsn < large.lsn && large.lsn < last.lsn).toBe(true);
  });

  test('[R9] leaves nothing when it is rolled back', async () => {
    await client.query('begin');
    await streamed(() => insertMany('undone'));
    await client.query('rollback');
    expect(withChanges(await decoded.settle(other))).toEqual([]);
  });

  test('[R9] is without what was rolled back to its savepoints, those inside of them included', async () => {
    await client.query('begin');
    await streamed(() => insertMany('kept'));
    await client.query('savepoint outer_one');
    await streamed(() => insertMany('undone'));
    await client.query('savepoint inner_one');
    await streamed(() => insertMany('released'));
    await client.query('release savepoint inner_one');
    await client.query('truncate lead_tags');
    await streamed(() => insertMany('undone too'));
    await client.query('rollback to savepoint outer_one');
    await streamed(() => insertMany('again'));
    await client.query('commit');
    const [large] = withChanges(await decoded.settle(other));
    expect(namesOf(large)).toEqual(all('kept', 'again'));
    expect(large?.truncates).toEqual([]);
  });

  test('[R9] is decoded when it is committed in two phases, by whichever session', async () => {
    await client.query('begin');
    await streamed(() => insertMany('prepared'));
    await client.query(`prepare transaction 'streamed'`);
    await other.query(`insert into tags (account_id, name) values ($1, 'between')`, [account]);
    await other.query(`commit prepared 'streamed'`);
    const [between, prepared] = withChanges(await decoded.settle(other));
    expect(namesOf(between)).toEqual(['between']);
    expect(namesOf(prepared)).toEqual(all('prepared'));
  });

  test('[R9] comes again whole when the stream breaks in the middle of it', async () => {
    await client.query('begin');
    await streamed(() => insertMany('again and again'));
    await decoded.stream.stop();
    decoded = tail({ url: database.replicationUrl, slot });
    await decoded.stream.started;
    await client.query('commit');
    const transactions = withChanges(await decoded.settle(other));
    expect(namesOf(transactions[transactions.length - 1])).toEqual(all('again and again'));
  });
});

describe('a migration under way', () => {
  const rename = (): Promise<unknown> =>
    client.query('alter table tags rename column color to colour');

  test('[R24] that does not fit is nobody\u2019s fault when it is rolled back', async () => {
    await client.query('begin');
    await rename();
    await streamed(() => insertMany('never'));
    await client.query('rollback');
    await other.query(`insert into tags (account_id, name) values ($1, 'as before')`, [account]);
    const [transaction] = withChanges(await decoded.settle(other));
    expect(changesOf(transaction, account)).toMatchObject([
      { op: 'insert', row: { name: 'as before', color: '#64748b' } },
    ]);
  });

  test('[R24] that does not fit ends the stream when it has committed', async () => {
    await client.query('begin');
    await rename();
    await streamed(() => insertMany('too much'));
    await client.query('commit');
    await expect(decoded.stream.ended).rejects.toMatchObject({ code: 'replication_drift' });
    await client.query('alter table tags rename column colour to color');
  });
});
