import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createDatabase } from '../../platform/postgres.ts';
import { readSlot } from '../../platform/replication-slot.ts';
import { runSlotCommand } from '../../replicator/slot-command.ts';
import { createTestDatabase, eventually, startRedis, type TestRedis } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type World } from './running.ts';
import { log, readConfirmed } from './support.ts';

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
