import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  alignLeases,
  beatWorker,
  claimLeases,
  endWorker,
  holdLease,
  readShares,
  releaseLease,
  type Lease,
} from '../../server/commands/lease-work.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import { Leases, type LeaseTiming } from '../../server/ingest/leases.ts';
import { createTestDatabase, eventually, type TestDatabase } from '../support/services.ts';

const log = createLog({ component: 'ingest', level: process.env['TEST_LOG'] ?? 'silent' });
const ONE = '00000000-0000-4000-8000-000000000001';
const TWO = '00000000-0000-4000-8000-000000000002';
/** Far from each other, so that a busy machine does not turn their order around. */
const TIMING: LeaseTiming = { beatMs: 100, ttlMs: 4_000, stopAfterMs: 1_000 };
const TTL_MS = 60_000;

let database: TestDatabase;
let owner: Database;
let kinds = 0;

const connect = (url: string, max: number): Database =>
  createDatabase({ url, applicationName: 'test leases', max, statementTimeoutMs: 5_000, log });

/** As the ingest process may. */
function ingestUrl(): string {
  const url = new URL(database.url);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  return url.href;
}

beforeAll(async () => {
  database = await createTestDatabase();
  owner = connect(ingestUrl(), 10);
});
afterAll(async () => {
  await owner.close();
  await database.drop();
});

/** A kind of its own for each test, with resources 1 to `count`. */
function kindOf(count: number) {
  const name = `k${kinds++}`;
  const wanted = sql`select ${`${name}:`} || number from generate_series(1, ${count}::int) as number`;
  return { name, wanted };
}

const ages = (worker: string, seconds: number) =>
  owner.query(sql`
    update private.ingest_workers
    set expires_at = expires_at - make_interval(secs => ${seconds}) where id = ${worker}`);

test('a lease appears with its resource and goes with it; when nothing changes, nothing is written', async () => {
  const { name, wanted } = kindOf(3);
  await alignLeases(owner, name, wanted);
  await beatWorker(owner, ONE, TTL_MS);
  expect(await readShares(owner, ONE, name)).toMatchObject({ total: 3, workers: 1, mine: [] });
  await owner.transaction(async (tx) => {
    await alignLeases(tx, name, wanted);
    const [row] = await tx.query(sql`select pg_current_xact_id_if_assigned() as xid`);
    expect(row?.['xid']).toBeNull();
  });
  await alignLeases(owner, name, sql`select ${`${name}:2`}`);
  expect((await readShares(owner, ONE, name)).total).toBe(1);
});

test('each lease is claimed by one worker, and by nobody else while that one lives', async () => {
  const { name, wanted } = kindOf(20);
  await alignLeases(owner, name, wanted);
  await Promise.all([beatWorker(owner, ONE, TTL_MS), beatWorker(owner, TWO, TTL_MS)]);
  const both = await Promise.all(
    [ONE, TWO, ONE, TWO].map((worker) => claimLeases(owner, worker, { kind: name, max: 5 })),
  );
  const claimed = both.flat();
  // Rows that somebody was claiming in that moment were passed over: the next round has them.
  const rest = await claimLeases(owner, ONE, { kind: name, max: 20 });
  expect(new Set([...claimed, ...rest].map((lease) => lease.resource)).size).toBe(20);
  expect(claimed.length + rest.length).toBe(20);
  expect(await claimLeases(owner, TWO, { kind: name, max: 20 })).toEqual([]);
});

test('a worker that is not alive claims nothing, and what it had is free', async () => {
  const { name, wanted } = kindOf(2);
  await alignLeases(owner, name, wanted);
  await beatWorker(owner, ONE, TTL_MS);
  const [first] = await claimLeases(owner, ONE, { kind: name, max: 1 });
  await ages(ONE, 3_600);
  expect(await claimLeases(owner, ONE, { kind: name, max: 2 })).toEqual([]);
  await beatWorker(owner, TWO, TTL_MS);
  const taken = await claimLeases(owner, TWO, { kind: name, max: 2 });
  expect(taken).toHaveLength(2);
  expect(taken.find((lease) => lease.resource === first?.resource)?.fence).toBe(
    (first?.fence ?? 0) + 1,
  );
});

test('the fence refuses a late owner, and one whose lease was made anew', async () => {
  const { name, wanted } = kindOf(1);
  await alignLeases(owner, name, wanted);
  await beatWorker(owner, ONE, TTL_MS);
  const hold = (lease: Lease) => owner.transaction((tx) => holdLease(tx, lease));
  const [late] = await claimLeases(owner, ONE, { kind: name, max: 1 });
  expect((await hold(late!)).value).toBe('held');
  await ages(ONE, 3_600);
  await beatWorker(owner, TWO, TTL_MS);
  const [next] = await claimLeases(owner, TWO, { kind: name, max: 1 });
  // It comes back to life: that gives it nothing back.
  await beatWorker(owner, ONE, TTL_MS);
  expect((await hold(late!)).value).toBe('lost');
  expect((await hold(next!)).value).toBe('held');
  await releaseLease(owner, late!);
  expect((await hold(next!)).value).toBe('held');
  // Disconnected and connected again: the same resource and the same worker, and still not the same lease.
  await alignLeases(owner, name, sql`select 'none' where false`);
  expect((await hold(next!)).value).toBe('lost');
  await alignLeases(owner, name, wanted);
  const [again] = await claimLeases(owner, TWO, { kind: name, max: 1 });
  expect((await hold(next!)).value).toBe('lost');
  expect(again!.fence).toBeGreaterThan(next!.fence);
});

test('nobody takes a lease from the middle of a transaction of its owner', async () => {
  const { name, wanted } = kindOf(1);
  await alignLeases(owner, name, wanted);
  await beatWorker(owner, ONE, TTL_MS);
  const [lease] = await claimLeases(owner, ONE, { kind: name, max: 1 });
  await beatWorker(owner, TWO, TTL_MS);
  await owner.transaction(async (tx) => {
    expect(await holdLease(tx, lease!)).toBe('held');
    await ages(ONE, 3_600);
    expect(await claimLeases(owner, TWO, { kind: name, max: 1 })).toEqual([]);
  });
  expect(await claimLeases(owner, TWO, { kind: name, max: 1 })).toHaveLength(1);
});

/** A worker on connections of its own that can be cut off; notes what it is at. */
function worker(kind: ReturnType<typeof kindOf>, timing: LeaseTiming = TIMING) {
  const pool = connect(ingestUrl(), 2);
  let isCut = false;
  const at = new Set<string>();
  const checked: Database = {
    ...pool,
    query: async (statement, options) => {
      if (isCut) throw new Error('cut off');
      return pool.query(statement, options);
    },
  };
  const leases = new Leases({ database: checked, log, clock: systemClock, timing }, [
    {
      ...kind,
      start: ({ resource }) => {
        at.add(resource);
        return { stop: async () => void at.delete(resource) };
      },
    },
  ]).start();
  return {
    at,
    leases,
    cut: () => (isCut = true),
    mend: () => (isCut = false),
    end: async () => {
      await leases.stop();
      await pool.close();
    },
  };
}

const overlap = (left: ReadonlySet<string>, right: ReadonlySet<string>): string[] =>
  [...left].filter((each) => right.has(each));

test('workers share what there is, and give to a new one; one that stops leaves its share at once', async () => {
  // The others of this file are no longer there to share with.
  await Promise.all([endWorker(owner, ONE), endWorker(owner, TWO)]);
  const kind = kindOf(40);
  const first = worker(kind);
  await eventually(() => first.at.size === 40, { says: 'the only worker has all' });
  const second = worker(kind);
  await eventually(() => first.at.size === 20 && second.at.size === 20, { says: 'two share' });
  expect(overlap(first.at, second.at)).toEqual([]);
  const third = worker(kind);
  await eventually(() => third.at.size >= 12, { says: 'three share' });
  await third.end();
  await first.end();
  expect(first.at.size).toBe(0);
  // No time to live has to pass.
  await eventually(() => second.at.size === 40, { says: 'the last one has all' });
  await second.end();
  const rows = await owner.query(sql`
    select count(*) as count from private.ingest_leases where starts_with(resource, ${kind.name}) and owner is not null`);
  expect(rows[0]?.['count']).toBe('0');
});

test('a worker that cannot say that it lives stops before another takes over, and begins a new life later', async () => {
  const kind = kindOf(6);
  const first = worker(kind);
  await eventually(() => first.at.size === 6);
  const before = new Map(first.leases.holds(kind.name).map((each) => [each.resource, each.fence]));
  first.cut();
  const second = worker(kind);
  let wasAtBoth = false;
  await eventually(
    () => {
      wasAtBoth ||= overlap(first.at, second.at).length > 0;
      return second.at.size === 6;
    },
    { says: 'the second has taken over', everyMs: 5 },
  );
  expect(wasAtBoth).toBe(false);
  for (const lease of second.leases.holds(kind.name))
    expect(lease.fence).toBeGreaterThan(before.get(lease.resource) ?? 0);
  first.mend();
  await eventually(() => first.at.size === 3 && second.at.size === 3, { says: 'they share again' });
  expect(overlap(first.at, second.at)).toEqual([]);
  await Promise.all([first.end(), second.end()]);
});

test('work that finds itself late is ended, and begun by whoever has the lease', async () => {
  const kind = kindOf(1);
  const pool = connect(ingestUrl(), 2);
  const started: Lease[] = [];
  let stops = 0;
  const leases = new Leases({ database: pool, log, clock: systemClock, timing: TIMING }, [
    {
      ...kind,
      start: (lease, onLost) => {
        started.push(lease);
        if (started.length === 1)
          void owner
            .query(
              sql`update private.ingest_leases set fence = fence + 1 where resource = ${lease.resource}`,
            )
            .then(onLost);
        return { stop: async () => void (stops += 1) };
      },
    },
  ]).start();
  await eventually(() => started.length === 2, { says: 'it begins anew' });
  expect(stops).toBe(1);
  expect(started[1]!.fence).toBe(started[0]!.fence + 1);
  await leases.stop();
  await pool.close();
});
