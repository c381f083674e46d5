import { afterEach, beforeEach, expect, test } from 'vitest';
import { controlKeys } from '../../domain/cache-key.ts';
import { createRedis } from '../../platform/redis.ts';
import { commonRedisUrl, createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type World } from './running.ts';
import { log } from './support.ts';

let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

test('[C8] a heartbeat that somebody else wrote makes no lease longer', async () => {
  const replicator = await world.start();
  await untilGreen(replicator);
  const redis = createRedis({ url: commonRedisUrl(), name: 'test', log });
  await redis.connect();
  const { live } = controlKeys({ prefix: world.config.redisPrefix });
  const hourLater = Date.now() + 3_600_000;
  const term = (await world.control.readControl())?.term;
  const forged = { token: '', term, sequence: 1, redis_ms: hourLater, sent_ms: hourLater };
  for (let round = 0; round < 3; round++) {
    await world.client.query(`select pg_logical_emit_message(true, 'clarin.heartbeat', $1)`, [
      JSON.stringify(forged),
    ]);
    await insertTag(world.client, account, `behind ${round}`);
    await eventually(async () => (await world.readNames(account)).includes(`behind ${round}`), {
      everyMs: 5,
    });
    expect(await redis.pttl(live)).toBeLessThanOrEqual(3_000);
  }
  redis.disconnect();
});
