import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, eventually, startRedis, type TestRedis } from '../support/services.ts';
import {
  createWorld,
  insertTag,
  isGreen,
  readPosition,
  untilGreen,
  type World,
} from './running.ts';
import { currentLsn, one, readConfirmed } from './support.ts';

let redis: TestRedis;
let world: World;
let account: number;

beforeEach(async () => {
  redis = await startRedis();
  world = await createWorld(await createTestDatabase(), redis.url);
  account = await world.createAccount('acme');
});

afterEach(async () => {
  await world.close();
  await redis.stop();
});

const confirmed = (): Promise<bigint> => readConfirmed(world.client, world.config.slot);
const until = (check: () => Promise<boolean>, says: string, timeoutMs = 15_000): Promise<boolean> =>
  eventually(check, { says, timeoutMs });

describe('acknowledgement of the whole pipeline', () => {
  test('[R15] a crash between apply and acknowledgement brings the commit again, and it changes nothing', async () => {
    let crashes = 0;
    const crashing = await world.start({
      seams: {
        at: (point) => {
          if (point === 'returned' && crashes++ === 0) throw new Error('crash at the worst moment');
        },
      },
    });
    await until(
      async () => (await crashing.metrics.reconnects.get()).values[0]?.value === 1,
      'it has crashed',
    );
    await insertTag(world.client, account, 'one');
    await untilGreen(crashing);
    await until(async () => (await world.readNames(account)).length > 0, 'the commit is applied');
    expect(await world.readNames(account)).toEqual(['one']);
    await crashing.stop();
    const next = await world.start();
    await untilGreen(next);
    await insertTag(world.client, account, 'two');
    await until(
      async () => (await world.readNames(account)).includes('two'),
      'the next commit is applied',
    );
    expect(await world.readNames(account)).toEqual(['one', 'two']);
    expect((await next.metrics.epochChanges.get()).values).toEqual([]);
  });

  test('[R15] batches that were applied and not acknowledged are replayed, each only once in the log', async () => {
    let crashesLeft = 0;
    const replicator = await world.start({
      seams: {
        at: (point) => {
          if (point === 'returned' && crashesLeft-- > 0) throw new Error('not acknowledged');
        },
      },
    });
    await untilGreen(replicator);
    crashesLeft = 4;
    const before = await confirmed();
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) await insertTag(world.client, account, name);
    await until(
      async () => (await world.readNames(account)).length === names.length,
      'all are applied',
    );
    await until(async () => (await confirmed()) > before, 'they are acknowledged after all');
    const replayed = (await replicator.metrics.replayed.get()).values[0]?.value ?? 0;
    expect(replayed).toBeGreaterThan(0);
    expect(await world.readNames(account)).toEqual(names);
  });

  test('[R16] the slot never passes the position in Redis, and stands still while Redis is away', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    for (let round = 0; round < 20; round++) {
      await insertTag(world.client, account, `tag ${round}`);
      // In this order: the slot may be behind what is read later, never ahead of it.
      const acknowledged = await confirmed();
      expect(acknowledged <= (await readPosition(world))).toBe(true);
    }
    await redis.pause();
    const before = await confirmed();
    await insertTag(world.client, account, 'while away');
    await until(async () => !(await isGreen(replicator)), 'health is red');
    const stopped = await confirmed();
    expect(stopped - before < 4096n).toBe(true);
    await insertTag(world.client, account, 'still away');
    expect(await confirmed()).toBe(stopped);
    await redis.resume();
    await untilGreen(replicator);
    await until(
      async () => (await world.readNames(account)).includes('still away'),
      'all of it is applied',
    );
  });

  test('[R16] with an acknowledgement of what was only read, the slot passes what Redis has', async () => {
    const replicator = await world.start({ seams: { honestAck: 'off' } });
    await untilGreen(replicator);
    await redis.pause();
    const lsn = await currentLsn(world.client);
    await insertTag(world.client, account, 'lost');
    await until(async () => (await confirmed()) > lsn, 'the slot passes what was never applied');
    await redis.resume();
  });

  test('[R18] an idle slot moves with heartbeats, and with keepalives while others write', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    await world.client.query('create table unpublished (id int, filler text)');
    await world.client.query(
      `insert into unpublished select n, repeat('x', 1000) from generate_series(1, 5000) as n`,
    );
    const lsn = await currentLsn(world.client);
    await until(
      async () => (await confirmed()) >= lsn,
      'the slot passes writes that are not published',
    );
    await world.client.query('select pg_switch_wal()');
    const row = await one(
      world.client,
      `select pg_current_wal_lsn() - confirmed_flush_lsn < 33554432 as near
      from pg_replication_slots where slot_name = $1`,
      [world.config.slot],
    );
    expect(row['near']).toBe(true);
  });

  test('[R20] Redis away for a while: nothing is lost or reordered, and the lease ends', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    await redis.pause();
    const names = Array.from({ length: 200 }, (_, index) => `tag ${index}`);
    for (const name of names) await insertTag(world.client, account, name);
    await until(async () => !(await isGreen(replicator)), 'health is red');
    await redis.resume();
    await until(
      async () => (await world.readNames(account)).length === names.length,
      'everything is applied',
    );
    expect(await world.readNames(account)).toEqual(names);
    await untilGreen(replicator);
    expect(
      (await replicator.metrics.epochChanges.get()).values.map((one) => one.labels['reason']),
    ).toEqual(['first_start']);
  });
});
