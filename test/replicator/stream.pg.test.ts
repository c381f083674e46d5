import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { toLsn, type Lsn } from '../../domain/lsn.ts';
import { createTestDatabase, eventually, type TestDatabase } from '../support/services.ts';
import {
  changesOf,
  connect,
  createSlotBy,
  currentLsn,
  one,
  readConfirmed,
  tail,
  type Row,
  type Tail,
} from './support.ts';

let database: TestDatabase;
let client: pg.Client;
let account: number;
let slots = 0;
let slot: string;

beforeAll(async () => {
  database = await createTestDatabase();
  client = await connect(database.ownerUrl);
  const row = await one(
    client,
    `insert into accounts (name, slug) values ('Acme', 'acme') returning id`,
  );
  account = Number(row['id']);
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

beforeEach(async () => {
  slot = `${database.name}_${++slots}`;
  await createSlotBy(client, slot);
});

async function open(options: { statusIntervalMs?: number } = {}): Promise<Tail> {
  const opened = tail({ url: database.replicationUrl, slot, ...options });
  await opened.stream.started;
  return opened;
}

const insertTag = (name: string): Promise<unknown> =>
  client.query('insert into tags (account_id, name) values ($1, $2)', [account, name]);

const namesOf = (transactions: Tail['transactions']): string[] =>
  transactions
    .flatMap((one) => changesOf(one, account))
    .map((change) => (change['row'] as Row)['name'] as string);

/** Two transactions whose commit records touch: the second begins at the byte where the first ends. */
async function commitNeighbours(prefix: string): Promise<void> {
  const other = await connect(database.ownerUrl);
  for (const [session, name] of [
    [client, `${prefix} first`],
    [other, `${prefix} second`],
  ] as const) {
    await session.query('begin');
    await session.query(`set local synchronous_commit = off`);
    await session.query('insert into tags (account_id, name) values ($1, $2)', [account, name]);
  }
  await Promise.all([client.query('commit'), other.query('commit')]);
  await client.query('select pg_logical_emit_message(true, $1::text, $2::text)', ['flush', '']);
  await other.end();
}

/** Streams until two transactions are neighbours and answers them; other writers of this server may come between. */
async function findNeighbours(
  opened: Tail,
): Promise<{ first: Tail['transactions'][0]; second: Tail['transactions'][0] }> {
  for (let round = 0; round < 200; round++) {
    await commitNeighbours(`${slot} ${round}`);
    const [first, second] = (await opened.settle(client)).filter((one) => one.commits.length > 0);
    if (first && second && first.endLsn === second.lsn) return { first, second };
  }
  throw new Error('no two commits were neighbours');
}

describe('acknowledgement', () => {
  test('[R15] after a crash behind an exact acknowledgement the adjacent transaction comes again', async () => {
    const before = await open();
    const { first, second } = await findNeighbours(before);
    before.confirm(first.endLsn);
    await eventually(async () => (await readConfirmed(client, slot)) === first.endLsn);
    await before.stream.stop();
    const after = await open();
    const again = await after.find((one) => one.lsn === second.lsn);
    expect(namesOf([again])).toEqual(namesOf([second]));
    expect(after.transactions.some((one) => one.lsn === first.lsn)).toBe(false);
    await after.stream.stop();
  });

  test('[R15] one byte more, as the library sends it, and the adjacent transaction is lost for ever', async () => {
    const before = await open();
    const { first, second } = await findNeighbours(before);
    before.confirm(toLsn(first.endLsn + 1n));
    await eventually(async () => (await readConfirmed(client, slot)) > first.endLsn);
    await before.stream.stop();
    const after = await open();
    await after.settle(client);
    await insertTag(`after ${slot}`);
    const rest = await after.settle(client);
    expect(namesOf(rest)).toEqual([`after ${slot}`]);
    expect(after.transactions.some((one) => one.lsn === second.lsn)).toBe(false);
    await after.stream.stop();
  });

  test('[R16] reading acknowledges nothing, nor do timers, keepalives and the end of the stream', async () => {
    const confirmed = await readConfirmed(client, slot);
    const opened = await open({ statusIntervalMs: 50 });
    await insertTag(`unread ${slot}`);
    await opened.find((one) => namesOf([one]).includes(`unread ${slot}`));
    const seen = opened.keepalives.length;
    // Every status asks for a reply, so these are several rounds of the timer.
    await eventually(() => opened.keepalives.length > seen + 5);
    expect(await readConfirmed(client, slot)).toBe(confirmed);
    await opened.stream.stop();
    expect(await readConfirmed(client, slot)).toBe(confirmed);
    const again = await open();
    await again.find((one) => namesOf([one]).includes(`unread ${slot}`));
    await again.stream.stop();
  });

  test('what was acknowledged never goes back when an older position is told', async () => {
    const opened = await open();
    await insertTag(`one ${slot}`);
    const [transaction] = await opened.settle(client);
    const end = transaction?.endLsn ?? (0n as Lsn);
    opened.confirm(end);
    await eventually(async () => (await readConfirmed(client, slot)) === end);
    await opened.stream.stop();
    const again = await open({ statusIntervalMs: 50 });
    await eventually(() => again.keepalives.length > 3);
    expect(await readConfirmed(client, slot)).toBe(end);
    await again.stream.stop();
  });
});

describe('the connection', () => {
  test('[R17] it outlives wal_sender_timeout while nothing is read and while nothing is written', async () => {
    await client.query(`alter database ${database.name} set wal_sender_timeout = '1s'`);
    try {
      const opened = await open({ statusIntervalMs: 400 });
      const startedAt = performance.now();
      await eventually(() => performance.now() - startedAt > 2_500, { timeoutMs: 5_000 });
      opened.stream.pause();
      const rows = 40_000;
      await client.query(
        `insert into contacts (account_id, name, notes)
         select $1, 'c' || n, repeat('n', 500) from generate_series(1, $2::int) as n`,
        [account, rows],
      );
      const pausedAt = performance.now();
      await eventually(() => performance.now() - pausedAt > 3_000, { timeoutMs: 6_000 });
      expect(opened.transactions).toHaveLength(0);
      opened.stream.resume();
      const transaction = await opened.find((one) => one.changesCount === rows);
      expect(transaction.commits[0]?.changes.map((change) => change.op)).toEqual(['bulk']);
      await opened.stream.stop();
    } finally {
      await client.query(`alter database ${database.name} reset wal_sender_timeout`);
    }
  });

  test('without a status the walsender hangs up: the silence is what ends it', async () => {
    await client.query(`alter database ${database.name} set wal_sender_timeout = '1s'`);
    try {
      const opened = await open({ statusIntervalMs: 60_000 });
      opened.stream.pause();
      await client.query(
        `insert into contacts (account_id, name, notes)
         select $1, 'c' || n, repeat('n', 500) from generate_series(1, 40000) as n`,
        [account],
      );
      await eventually(async () => {
        const row = await one(
          client,
          'select active from pg_replication_slots where slot_name = $1',
          [slot],
        );
        return row['active'] === false;
      });
      await opened.stream.stop();
    } finally {
      await client.query(`alter database ${database.name} reset wal_sender_timeout`);
    }
  });

  test('a terminated walsender ends the attempt by its promise, and the next one takes up where it was', async () => {
    const opened = await open();
    await insertTag(`before ${slot}`);
    await opened.settle(client);
    await client.query(
      `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`,
      [slot],
    );
    await expect(opened.stream.ended).rejects.toThrow(/terminat/);
    const again = await open();
    await again.find((one) => namesOf([one]).includes(`before ${slot}`));
    await again.stream.stop();
  });

  test('a slot that does not exist ends the attempt', async () => {
    const opened = tail({ url: database.replicationUrl, slot: 'no_such_slot' });
    await expect(opened.stream.ended).rejects.toThrow('does not exist');
  });

  test('[R12] what the decoder throws ends the attempt and is no fault of the process', async () => {
    const faults: unknown[] = [];
    const onFault = (error: unknown): void => void faults.push(error);
    process.on('uncaughtException', onFault);
    const confirmed = await readConfirmed(client, slot);
    const opened = tail({ url: database.replicationUrl, slot, entities: [] });
    await opened.stream.started;
    await insertTag(`bad ${slot}`);
    await expect(opened.stream.ended).rejects.toMatchObject({ code: 'replication_drift' });
    process.off('uncaughtException', onFault);
    expect(faults).toEqual([]);
    expect(await readConfirmed(client, slot)).toBe(confirmed);
  });

  test('stopping is quick and may be repeated, paused or not', async () => {
    const opened = await open();
    opened.stream.pause();
    const startedAt = performance.now();
    await Promise.all([opened.stream.stop(), opened.stream.stop()]);
    await opened.stream.ended;
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect(await currentLsn(client)).toBeGreaterThan(0n);
  });
});
