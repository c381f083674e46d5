import { describe, expect, it } from 'vitest';
import {
  ENTRY_BYTES_MAX,
  FAMILY_BYTES_MAX,
  FAMILY_ENTRIES_MAX,
} from '../../../domain/cache-key.ts';
import type { AccountCommit } from '../../../domain/change.ts';
import { AccountLog, HistoryTrimmedError } from '../../../platform/cache/account-log.ts';
import { CacheInspector } from '../../../platform/cache/inspect.ts';
import { CacheWriter } from '../../../platform/cache/writer.ts';
import { answer, cacheFixture, PLACE, share } from './fixture.ts';
import { commitOf, keysOf, lsn } from './world.ts';

const cache = cacheFixture();

describe('bounds', () => {
  const fieldsOf = () =>
    new CacheInspector(cache.world).readFields(1, cache.mandate.epoch.id, 'leads.row');

  it('[C18] a large body is not stored', async () => {
    await cache.reader.readThrough({ ...PLACE, load: answer('x'.repeat(ENTRY_BYTES_MAX + 1)) });
    expect(await fieldsOf()).toEqual([]);
  });

  it('[C18] a family starts again when it has as many entries as it may', async () => {
    const key = keysOf(cache.world, 1, cache.mandate.epoch.id).family('leads.row');
    const fields = Array.from({ length: FAMILY_ENTRIES_MAX }, (_, i) => [`f${i}`, 'x']).flat();
    await cache.world.redis.hset(key, ...fields);
    await cache.reader.readThrough({ ...PLACE, load: answer('x') });
    expect(await fieldsOf()).toEqual(['5']);
    expect(await cache.world.redis.ttl(key)).toBeGreaterThan(0);
  });

  it('[C18] a family starts again when it has as many bytes as it may', async () => {
    const body = 'x'.repeat(ENTRY_BYTES_MAX);
    const held = FAMILY_BYTES_MAX / ENTRY_BYTES_MAX;
    for (let id = 0; id < held; id++) {
      await cache.reader.readThrough({ ...PLACE, field: String(id), load: answer(body) });
    }
    expect((await fieldsOf()).length).toBe(held);
    await cache.reader.readThrough({ ...PLACE, field: 'one more', load: answer('x') });
    expect(await fieldsOf()).toEqual(['one more']);
  });

  it('[C18] readers leave the rest of an almost full Redis to the replicator', async () => {
    const { redis } = cache.world;
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    await redis.config('SET', 'maxmemory', String(Math.floor(used * 1.1)));
    try {
      const reader = await cache.world.reader();
      await reader.readThrough({ ...PLACE, load: answer('x') });
      expect(await fieldsOf()).toEqual([]);
      await cache.apply(share(110));
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });

  it('[C18] the log is cut at whole commits when it exceeds its budget', async () => {
    const small = new CacheWriter({
      redis: cache.world.redis,
      space: cache.world.space,
      metrics: cache.world.metrics,
      logBytesMax: 4_000,
    });
    for (let at = 110; at < 200; at += 10) {
      const commit = commitOf(1, at, JSON.stringify('x'.repeat(900)));
      await small.apply({
        ...cache.mandate,
        shares: [{ accountId: 1, commits: [commit], invalidations: [] }],
      });
    }
    const keys = keysOf(cache.world, 1, cache.mandate.epoch.id);
    expect(await cache.world.redis.xlen(keys.log)).toBe(3);
    expect(await cache.world.redis.llen(keys.sizes)).toBe(3);
    expect(Number(await cache.world.redis.hget(keys.head, 'bytes'))).toBeLessThanOrEqual(4_000);
  });

  it('[C19] resuming from before the oldest commit is refused, from the newest cut one it is not', async () => {
    const small = new CacheWriter({
      redis: cache.world.redis,
      space: cache.world.space,
      metrics: cache.world.metrics,
      logBytesMax: 4_000,
    });
    for (let at = 110; at < 200; at += 10) {
      const commit = commitOf(1, at, JSON.stringify('x'.repeat(900)));
      await small.apply({
        ...cache.mandate,
        shares: [{ accountId: 1, commits: [commit], invalidations: [] }],
      });
    }
    const accountLog = new AccountLog({ redis: cache.world.redis, space: cache.world.space });
    const read = async (after: number): Promise<number[]> => {
      const found: number[] = [];
      const place = { accountId: 1, epoch: cache.mandate.epoch.id, after: lsn(after) };
      for await (const commit of accountLog.read(place)) found.push(Number(commit.lsn));
      return found;
    };
    expect(await read(160)).toEqual([170, 180, 190]);
    await expect(read(150)).rejects.toThrow(HistoryTrimmedError);
    expect(await read(190)).toEqual([]);
  });

  it('[C19] a commit of several parts is read back as it was written', async () => {
    const large = JSON.stringify('y'.repeat(200_000));
    const changes = Array.from({ length: 40 }, (_, i) => ({
      table: 'leads',
      op: 'update' as const,
      json: `{"i":${i},"é":${large}}`,
      restrictedJson: `{"i":${i}}`,
      keyJson: `{"id":${i}}`,
      now: { pipeline_id: '1', assigned_to: null },
      was: null,
    }));
    const commit: AccountCommit = { ...commitOf(1, 110), origin: '{"source":"api"}', changes };
    await cache.writer.apply({
      ...cache.mandate,
      shares: [{ accountId: 1, commits: [commit, commitOf(1, 120)], invalidations: [] }],
    });
    const accountLog = new AccountLog({ redis: cache.world.redis, space: cache.world.space });
    const found: AccountCommit[] = [];
    const place = { accountId: 1, epoch: cache.mandate.epoch.id, after: lsn(100) };
    for await (const one of accountLog.read(place)) found.push(one);
    expect(found).toEqual([commit, commitOf(1, 120)]);
  });

  it('[C20] an entry of one account is not found by another', async () => {
    await cache.reader.readThrough({ ...PLACE, load: answer('of 1') });
    const other = await cache.reader.readThrough({
      ...PLACE,
      accountId: 11,
      load: answer('of 11'),
    });
    expect(other).toMatchObject({ status: 'miss', body: 'of 11' });
  });
});
