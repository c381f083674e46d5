import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  createRateStore,
  type RateStore,
  type Reservation,
} from '../../server/kommo/rate-store.ts';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';

let db: TestDatabase;
let database: Database;
let store: RateStore;
let names = 0;
/** So far apart that a busy machine does not pass one by. */
const SPACING_MS = 10_000;

beforeAll(async () => {
  db = await createTestDatabase();
  const url = new URL(db.url);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  const log = createLog({ component: 'ingest', level: 'silent' });
  const options = { applicationName: 'test', max: 10, statementTimeoutMs: 10_000, log };
  database = createDatabase({ url: url.href, ...options });
  store = createRateStore(database);
});
afterAll(async () => {
  await database.close();
  await db.drop();
});

/** Buckets of their own. */
const fresh = () => {
  names += 1;
  return { egress: `egress:${names}`, blocked: `blocked:${names}`, account: `account:${names}` };
};
const reserve = (
  buckets: readonly string[],
  more: Partial<Parameters<RateStore['reserve']>[0]> = {},
) => store.reserve({ buckets, pauses: buckets, requestsPerSecond: 0.1, slots: 1, ...more });

/** When the next moment of a bucket is, ms from now. */
async function nextMs(bucket: string): Promise<number> {
  const [row] = await database.query(sql`
    select extract(epoch from next_at) * 1000 as at from private.kommo_slots where bucket = ${bucket}`);
  return Number(row?.['at']);
}

const granted = (reservation: Reservation) => {
  if (reservation.kind !== 'granted') throw new Error('it was paused');
  return reservation;
};

describe('moments', () => {
  test('are reserved one behind the other, by whoever, in both buckets', async () => {
    const { egress, account } = fresh();
    const first = granted(await reserve([egress, account]));
    expect(first).toMatchObject({ waitMs: 0, spacingMs: 10_000 });
    const start = await nextMs(egress);
    expect(await nextMs(account)).toBe(start);
    const others = await Promise.all(
      Array.from({ length: 20 }, () => createRateStore(database)).map((each) =>
        each.reserve({ buckets: [egress, account], pauses: [], requestsPerSecond: 0.1, slots: 1 }),
      ),
    );
    expect(others.every(({ kind }) => kind === 'granted')).toBe(true);
    // Twenty at once, from one and the same moment on: none of them was given twice.
    expect(await nextMs(egress)).toBeCloseTo(start + 20 * SPACING_MS, 0);
    expect(await nextMs(account)).toBeCloseTo(start + 20 * SPACING_MS, 0);
  });

  test('are made for a new bucket by the first of many, and none is given twice', async () => {
    for (let round = 0; round < 10; round++) {
      const { egress, account } = fresh();
      const [row] = await database.query(
        sql`select extract(epoch from clock_timestamp()) * 1000 as at`,
      );
      await Promise.all(Array.from({ length: 10 }, () => reserve([egress, account])));
      const least = Number(row?.['at']) + 10 * SPACING_MS;
      expect(await nextMs(egress)).toBeGreaterThanOrEqual(least);
      expect(await nextMs(account)).toBe(await nextMs(egress));
    }
  });

  test('of an account and an address are the later one of both', async () => {
    const { egress, account } = fresh();
    await reserve([account], { slots: 10 });
    const there = await nextMs(account);
    await reserve([egress, account]);
    expect(await nextMs(egress)).toBeCloseTo(there + SPACING_MS, 0);
    expect(await nextMs(account)).toBeCloseTo(there + SPACING_MS, 0);
  });

  test('can be several in a row', async () => {
    const { egress } = fresh();
    await reserve([egress]);
    const before = await nextMs(egress);
    await reserve([egress], { slots: 4 });
    expect(await nextMs(egress)).toBeCloseTo(before + 4 * SPACING_MS, 0);
  });

  test('of a time when the server had another clock are not waited for', async () => {
    const { egress } = fresh();
    await reserve([egress]);
    await database.query(sql`
      update private.kommo_slots set next_at = clock_timestamp() + interval '3 hours' where bucket = ${egress}`);
    expect(granted(await reserve([egress])).waitMs).toBe(0);
  });

  test('of no bucket are none: it is looked whether requests rest', async () => {
    const { egress } = fresh();
    expect(await reserve([], { pauses: [egress] })).toMatchObject({ kind: 'granted', waitMs: 0 });
    const untilMs = await store.pause({ bucket: egress, seconds: 60, secondsMax: 60 });
    expect(await reserve([], { pauses: [egress] })).toEqual({
      kind: 'paused',
      bucket: egress,
      untilMs,
    });
  });
});

describe('a pause', () => {
  const endNow = (bucket: string, minutesAgo = 0) =>
    database.query(sql`
      update private.kommo_pauses
      set paused_until = clock_timestamp() - make_interval(secs => ${minutesAgo * 60 + 1})
      where bucket = ${bucket}`);

  test('lets nobody reserve, and takes no moment', async () => {
    const { egress, account } = fresh();
    await reserve([egress, account]);
    const before = await nextMs(egress);
    const untilMs = await store.pause({ bucket: egress, seconds: 300, secondsMax: 300 });
    expect(untilMs - Date.now()).toBeGreaterThan(290_000);
    expect(await reserve([egress, account])).toEqual({ kind: 'paused', bucket: egress, untilMs });
    expect(await nextMs(egress)).toBe(before);
  });

  test('that is under way is made longer by a longer one, never shorter, and is still the same one', async () => {
    const { egress } = fresh();
    const pause = (seconds: number) => store.pause({ bucket: egress, seconds, secondsMax: 10_000 });
    const first = await pause(300);
    expect(await pause(60)).toBe(first);
    expect((await pause(600)) - first).toBeGreaterThan(290_000);
    const [row] = await database.query(sql`
      select times from private.kommo_pauses where bucket = ${egress}`);
    expect(row?.['times']).toBe('1');
  });

  test('soon after the last one doubles up to its most, and a day later begins anew', async () => {
    const { blocked } = fresh();
    const minutes: number[] = [];
    for (let number = 0; number < 7; number++) {
      const untilMs = await store.pause({ bucket: blocked, seconds: 900, secondsMax: 21_600 });
      minutes.push(Math.round((untilMs - Date.now()) / 60_000));
      await endNow(blocked);
    }
    expect(minutes).toEqual([15, 30, 60, 120, 240, 360, 360]);
    await endNow(blocked, 24 * 60);
    const untilMs = await store.pause({ bucket: blocked, seconds: 900, secondsMax: 21_600 });
    expect(Math.round((untilMs - Date.now()) / 60_000)).toBe(15);
  });

  test('is followed by two requests in a second, and one more for each quiet minute', async () => {
    const { egress, blocked } = fresh();
    await store.pause({ bucket: egress, seconds: 60, secondsMax: 60 });
    const rates: number[] = [];
    for (const minutesAgo of [0, 0.9, 1, 2, 3.5, 4, 5, 600]) {
      await endNow(egress, minutesAgo);
      const wanted = { pauses: [egress, blocked], requestsPerSecond: 6 };
      rates.push(Math.round(1_000 / granted(await reserve([egress], wanted)).spacingMs));
    }
    expect(rates).toEqual([2, 2, 3, 4, 5, 6, 6, 6]);
    await store.pause({ bucket: blocked, seconds: 60, secondsMax: 60 });
    await endNow(blocked);
    const slow = { pauses: [egress, blocked], requestsPerSecond: 6 };
    expect(granted(await reserve([egress], slow)).spacingMs).toBe(500);
    const slower = { ...slow, requestsPerSecond: 0.5 };
    expect(granted(await reserve([egress], slower)).spacingMs).toBe(2_000);
  });
});
