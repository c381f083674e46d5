import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { accountKeys } from '../../domain/cache-key.ts';
import { createRedis } from '../../platform/redis.ts';
import { createWorld, insertTag, untilGreen, type World } from '../replicator/running.ts';
import { log } from '../replicator/support.ts';
import { createTestDatabase, eventually } from '../support/services.ts';

let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

const epochId = async (): Promise<string> => (await world.control.readControl())?.epoch.id ?? '';

/** What no restart does: control stays, and one account's head, log and tombstones are gone. */
async function dropAccount(): Promise<void> {
  const redis = createRedis({ url: world.config.redisUrl, name: 'test', log });
  await redis.connect();
  const keys = accountKeys({ prefix: world.config.redisPrefix }, account, await epochId());
  await redis.del(keys.head, keys.log, keys.sizes);
  redis.disconnect();
}

/** Trail "lost epoch" of docs/proof. */
describe('an account whose keys are gone while control is there', () => {
  test('[C15] ends the epoch at its next commit: nothing of it goes on with a gap, and nothing stands still', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    await insertTag(world.client, account, 'one');
    await eventually(async () => (await world.readNames(account)).includes('one'));
    const before = await epochId();
    await dropAccount();
    await insertTag(world.client, account, 'two');
    await eventually(async () => (await epochId()) !== before, { says: 'a new epoch begins' });
    await untilGreen(replicator);
    await insertTag(world.client, account, 'three');
    await eventually(async () => (await world.readNames(account)).includes('three'));
    const reasons = (await replicator.metrics.epochChanges.get()).values;
    expect(reasons.map((value) => value.labels['reason'])).toEqual(['first_start', 'redis_lost']);
  });

  test('[C15] judged by control alone the epoch is kept again and again, and its account stands', async () => {
    const replicator = await world.start({ seams: { lostEpoch: 'kept' } });
    await untilGreen(replicator);
    await insertTag(world.client, account, 'one');
    await eventually(async () => (await world.readNames(account)).includes('one'));
    const before = await epochId();
    await dropAccount();
    await insertTag(world.client, account, 'two');
    const attempts = async (): Promise<number> =>
      (await replicator.metrics.reconnects.get()).values[0]?.value ?? 0;
    await eventually(async () => (await attempts()) >= 3, { says: 'it tries again and again' });
    expect(await epochId()).toBe(before);
    expect(await world.readNames(account)).toEqual([]);
  });
});
