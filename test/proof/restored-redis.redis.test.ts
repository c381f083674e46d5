import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlKeys } from '../../domain/cache-key.ts';
import { ControlStore } from '../../platform/cache/control.ts';
import { CacheReader } from '../../platform/cache/reader.ts';
import { RENEW } from '../../platform/cache/scripts.ts';
import { createLog } from '../../platform/log.ts';
import { answer, cacheFixture, PLACE, share } from '../platform/cache/fixture.ts';
import { startRedis, type TestRedis } from '../support/services.ts';
import { withoutGuard } from './without-guard.ts';

/**
 * Trail "run id" of docs/proof: Redis comes back as another process with what it had saved, an entry and a lease among it,
 * after a commit has changed the entry. The other process is another server here, that is given the saved keys.
 */
const cache = cacheFixture();
const log = createLog({ component: 'cache', level: 'silent' });
let server: TestRedis;
let redis: Redis;

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { lazyConnect: true });
  await redis.connect();
});

afterEach(async () => {
  redis.disconnect();
  await server.stop();
});

async function restoreOlder(): Promise<void> {
  await cache.reader.readThrough({ ...PLACE, load: answer('old') });
  const saved = await cache.world.redis.keys(`${cache.world.space.prefix}:*`);
  for (const key of saved) {
    const ttlMs = Math.max(0, await cache.world.redis.pttl(key));
    await redis.restore(key, ttlMs, await cache.world.redis.dumpBuffer(key));
  }
  await cache.apply(share(110));
}

async function readRestored(): Promise<{ status: string; body: string }> {
  const reader = new CacheReader({ ...cache.world, redis, log });
  const read = () => reader.readThrough({ ...PLACE, load: answer('new') });
  // Who it is talking to it asks by itself, on this connection and first: its answer comes before that of another question.
  await redis.info('server');
  await read();
  return read();
}

const space = () => cache.world.space;

describe('a Redis that was started anew with older data', () => {
  it('[C8] is not read: its lease is that of another process', async () => {
    await restoreOlder();
    expect(await readRestored()).toMatchObject({ status: 'bypass', body: 'new' });
    const { values } = await cache.world.metrics.cacheBypasses.get();
    expect(values.map((value) => value.labels['reason'])).toContain('restarted');
  });

  it('[C8] would be read without the run id in the lease, behind the watermark', async () => {
    await restoreOlder();
    const { live } = controlKeys(space());
    const lease = JSON.parse((await redis.get(live)) ?? '{}') as Record<string, unknown>;
    const runId = await new ControlStore({ redis, space: space(), log }).readRunId();
    await redis.set(live, JSON.stringify({ ...lease, run_id: runId }), 'KEEPTTL');
    expect(await readRestored()).toMatchObject({ status: 'hit', body: 'old' });
  });

  it('[C15] ends the epoch at the next heartbeat, and without the run id in control does not', async () => {
    await restoreOlder();
    const renew = async (on: Redis): Promise<boolean> => {
      const control = new ControlStore({ redis: on, space: space(), log });
      return control.renewLease({ ...cache.mandate, sentAtMs: await control.redisTimeMs() });
    };
    await expect(renew(redis)).rejects.toThrow('no longer holds this epoch');
    expect(await renew(withoutGuard(redis, RENEW, /if run ~= .* return 'lost' end/))).toBe(true);
  });
});
