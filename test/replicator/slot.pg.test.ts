import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createDatabase } from '../../platform/postgres.ts';
import { readSlot } from '../../platform/replication-slot.ts';
import { runSlotCommand } from '../../replicator/slot-command.ts';
import {
  createTestDatabase,
  eventually,
  startPostgres,
  startRedis,
  type TestRedis,
} from '../support/services.ts';
import { createWorld, insertTag, isGreen, untilGreen, type World } from './running.ts';
import { connect, log, one, readConfirmed } from './support.ts';

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

const epochId = async (): Promise<string | undefined> =>
  (await world.control.readControl())?.epoch.id;

let rounds = 0;

/** Stops, does something to the slot or Redis, starts again; answers the reasons of new epochs. */
async function reasonAfter(change: () => Promise<unknown>): Promise<unknown[]> {
  const first = await world.start();
  await untilGreen(first);
  await first.stop();
  await change();
  const second = await world.start();
  await untilGreen(second);
  const name = `after ${++rounds}`;
  await insertTag(world.client, account, name);
  await eventually(async () => (await world.readNames(account)).includes(name));
  const reasons = (await second.metrics.epochChanges.get()).values.map(
    (value) => value.labels['reason'],
  );
  await second.stop();
  return reasons;
}

describe('the epoch across restarts', () => {
  test('[R22] stays when nothing happened', async () => {
    const before: (string | undefined)[] = [];
    const reasons = await reasonAfter(async () => before.push(await epochId()));
    expect(reasons).toEqual([]);
    expect([await epochId()]).toEqual(before);
  });

  test('[R22] ends when somebody moved the slot, and the slot is made anew', async () => {
    const reasons = await reasonAfter(async () => {
      await insertTag(world.client, account, 'skipped');
      await world.client.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [
        world.config.slot,
      ]);
    });
    expect(reasons).toEqual(['slot_skipped']);
  });

  test('[R22] ends when the slot was dropped, and when it was dropped and made by somebody else', async () => {
    const drop = (): Promise<unknown> =>
      world.client.query('select pg_drop_replication_slot($1)', [world.config.slot]);
    expect(await reasonAfter(drop)).toEqual(['slot_missing']);
    const reasons = await reasonAfter(async () => {
      await drop();
      await world.client.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [
        world.config.slot,
      ]);
    });
    expect(reasons).toEqual(['slot_skipped']);
  });

  test('[R22] ends when Redis was restarted or emptied', async () => {
    expect(await reasonAfter(() => redis.restart())).toEqual(['redis_lost']);
  });

  test('a slot of this name that belongs to something else is refused in words', async () => {
    await world.client.query(`select pg_create_logical_replication_slot($1, 'test_decoding')`, [
      world.config.slot,
    ]);
    const replicator = await world.start();
    expect(await replicator.fatal).toMatchObject({
      code: 'configuration',
      message: expect.stringContaining('set CLARIN_SLOT to another name') as string,
    });
  });
});

describe('a slot that is lost under a running replicator', () => {
  test('[R23] dropped by hand: red, then a new slot and a new epoch by itself, then green', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    const before = await epochId();
    await eventually(async () => {
      await world.client.query(
        `select pg_terminate_backend(active_pid), pg_sleep(0.02) from pg_replication_slots where slot_name = $1`,
        [world.config.slot],
      );
      await world.client.query('select pg_drop_replication_slot($1)', [world.config.slot]);
      return true;
    });
    await eventually(async () => (await epochId()) !== before, { says: 'a new epoch begins' });
    await untilGreen(replicator);
    await insertTag(world.client, account, 'after');
    await eventually(async () => (await world.readNames(account)).includes('after'));
  });

  test('[R23] its WAL removed for want of a budget: red, then a new slot and a new epoch by itself', async () => {
    const postgres = await startPostgres({
      conf: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
    });
    const small = await createWorld(await postgres.createDatabase(), redis.url);
    try {
      const replicator = await small.start();
      await untilGreen(replicator);
      const before = (await small.control.readControl())?.epoch.id;
      const admin = await connect(postgres.url);
      await redis.pause();
      await eventually(
        async () => {
          await small.client.query(`create table if not exists filler (text text)`);
          await small.client.query(
            `insert into filler select repeat('x', 1000) from generate_series(1, 20000)`,
          );
          await admin.query('select pg_switch_wal()');
          await admin.query('checkpoint');
          const slot = await one(admin, 'select wal_status from pg_replication_slots');
          return slot['wal_status'] === 'lost';
        },
        { says: 'the slot is lost', timeoutMs: 20_000 },
      );
      await eventually(async () => !(await isGreen(replicator)), { says: 'health is red' });
      await redis.resume();
      await eventually(async () => (await small.control.readControl())?.epoch.id !== before, {
        says: 'a new epoch begins',
      });
      await untilGreen(replicator);
      const reasons = (await replicator.metrics.epochChanges.get()).values.map(
        (value) => value.labels['reason'],
      );
      expect(reasons).toContain('slot_lost');
      await admin.end();
    } finally {
      await small.close();
      await postgres.remove();
    }
  });
});

describe('the slot command', () => {
  test('creates, shows and drops the slot', async () => {
    let printed = '';
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      printed += String(chunk);
      return true;
    });
    const run = (...words: string[]): Promise<number> => runSlotCommand(world.config, log, words);
    try {
      expect(await run('status')).toBe(3);
      expect(await run('create')).toBe(0);
      expect(await run('create')).toBe(0);
      expect(await run('status')).toBe(3);
      expect(printed).toMatch(/wal kept +\d/);
      expect(printed).toContain(`slot ${world.config.slot}`);
      const replicator = await world.start();
      await untilGreen(replicator);
      expect(await run('status')).toBe(0);
      await replicator.stop();
      expect(await run('drop')).toBe(0);
      expect(await run('drop')).toBe(0);
    } finally {
      spy.mockRestore();
    }
    const db = createDatabase({
      url: world.config.replicationDatabaseUrl,
      applicationName: 'test',
      max: 1,
      statementTimeoutMs: 5_000,
      log,
    });
    expect(await readSlot(db, world.config.slot)).toBeUndefined();
    await db.close();
    await expect(readConfirmed(world.client, world.config.slot)).rejects.toThrow('no row');
  });

  test('says how it is used', async () => {
    const spy = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect(await runSlotCommand(world.config, log, ['destroy'])).toBe(1);
    expect(spy).toHaveBeenCalledWith(expect.stringContaining('usage'));
    spy.mockRestore();
  });
});
