import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, eventually, startRedis, type TestRedis } from '../support/services.ts';
import { createWorld, untilGreen, type World } from './running.ts';

let redis: TestRedis;
let admin: Redis;
let world: World;

beforeEach(async () => {
  redis = await startRedis();
  admin = new Redis(redis.url);
  world = await createWorld(await createTestDatabase(), redis.url);
});

afterEach(async () => {
  admin.disconnect();
  await world.close();
  await redis.stop();
});

const epochId = async (): Promise<string | undefined> =>
  (await world.control.readControl())?.epoch.id;

/** Of keys that are nobody's: that none of ours went is luck, and nobody can know it. */
async function evict(): Promise<void> {
  await admin.config('SET', 'maxmemory-policy', 'volatile-ttl');
  await eventually(async () => {
    await admin.set('filler', 'x'.repeat(1_000_000), 'EX', 1_000).catch(() => undefined);
    const used = Number(/^used_memory:(\d+)/m.exec(await admin.info('memory'))?.[1]);
    await admin.config('SET', 'maxmemory', used - 500_000);
    await admin.set('more', 'x'.repeat(1_000), 'EX', 1_000).catch(() => undefined);
    return !(await admin.info('stats')).includes('evicted_keys:0');
  });
  await admin.config('SET', 'maxmemory', 0);
}

describe('a Redis that is told to evict', () => {
  test('[R22] ends a running replicator within a heartbeat, and the epoch when it has evicted', async () => {
    const first = await world.start();
    await untilGreen(first);
    const before = await epochId();
    await evict();
    expect(await first.fatal).toMatchObject({ code: expect.stringMatching(/configuration/) });
    await first.stop();
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    const second = await world.start();
    await untilGreen(second);
    expect(await epochId()).not.toBe(before);
  });

  test('[R22] ends the epoch under a running replicator when it was put right before anybody looked', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    const before = await epochId();
    // In one go: between two heartbeats, mostly.
    await evict();
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    const isOver = async (): Promise<boolean> => (await epochId()) !== before;
    const outcome = await Promise.race([
      eventually(isOver, { says: 'a new epoch begins' }).then(() => 'a new epoch'),
      replicator.fatal.then(() => 'ended'),
    ]);
    expect(['a new epoch', 'ended']).toContain(outcome);
  });
});
