import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { lsnFromHex, lsnToHex } from '../../domain/lsn.ts';
import { AccountLog } from '../../platform/cache/account-log.ts';
import { ControlStore } from '../../platform/cache/control.ts';
import { CacheReader } from '../../platform/cache/reader.ts';
import { APPLY, FILL, OPEN_EPOCH, READ, runScript } from '../../platform/cache/scripts.ts';
import { CacheWriter } from '../../platform/cache/writer.ts';
import { createLog } from '../../platform/log.ts';
import { answer, cacheFixture, heldRead, PLACE, share } from '../platform/cache/fixture.ts';
import { keysOf, lsn } from '../platform/cache/world.ts';
import { eventually } from '../support/services.ts';
import { withoutGuard } from './without-guard.ts';

/**
 * The trails of docs/proof/README.md whose steps are those of the cache's scripts: with the guard what the model promises,
 * without it what its trail shows. Those that need Postgres are in the files beside this.
 */
const cache = cacheFixture();
const log = createLog({ component: 'cache', level: 'silent' });

const keys = () => keysOf(cache.world, PLACE.accountId, cache.mandate.epoch.id);

async function readerOn(redis: Redis): Promise<CacheReader> {
  const { space, metrics } = cache.world;
  const reader = new CacheReader({ redis, space, log, metrics });
  const probe = { accountId: 9, family: 'tags.list', field: 'probe', load: answer('') };
  await eventually(async () => (await reader.readThrough(probe)).status !== 'bypass');
  return reader;
}

/** A miss, its snapshot, then what `between` does, then the fill; answers what the next reader gets. */
async function fillAfter(reader: CacheReader, between: () => Promise<unknown>): Promise<string> {
  const read = heldRead(reader, 'old');
  await read.began;
  await between();
  read.release();
  await read.result;
  return (await cache.reader.readThrough({ ...PLACE, load: answer('new') })).body;
}

describe('trail "tombstone"', () => {
  it('[C2] a fill whose snapshot is older than a commit that was applied meanwhile is refused', async () => {
    expect(await fillAfter(cache.reader, () => cache.apply(share(110)))).toBe('new');
  });

  it('[C2] without the tombstone it is stored, and read behind the watermark', async () => {
    const redis = withoutGuard(cache.world.redis, APPLY, /redis\.call\('SET', tombstone, .*\)/);
    cache.writer = new CacheWriter({ ...cache.world, redis });
    expect(await fillAfter(cache.reader, () => cache.apply(share(110)))).toBe('old');
  });
});

describe('trail "age limit"', () => {
  /** As for one who missed two minutes and a second ago. */
  const longAgo = (redis: Redis): Redis =>
    withoutGuard(redis, READ, /now\[1\] \* 1000/, '(now[1] - 121) * 1000');
  /** What Redis does by itself when TOMBSTONE_SECONDS are over. */
  const applyAndForget = async (): Promise<void> => {
    await cache.apply(share(110));
    expect(await cache.world.redis.del(keys().tombstone(PLACE.family))).toBe(1);
  };

  it('[C3] a fill that may have outlived a tombstone is refused', async () => {
    const reader = await readerOn(longAgo(cache.world.redis));
    expect(await fillAfter(reader, applyAndForget)).toBe('new');
  });

  it('[C3] without the limit it is stored, and read behind the watermark', async () => {
    const ageless = withoutGuard(cache.world.redis, FILL, /if now\[1\].* return 'old' end/);
    expect(await fillAfter(await readerOn(longAgo(ageless)), applyAndForget)).toBe('old');
  });
});

describe('trail "epoch"', () => {
  const lose = async (): Promise<void> => {
    await cache.apply(share(110));
    const all = await cache.world.redis.keys(`${cache.world.space.prefix}:*`);
    await cache.world.redis.del(...all);
    await expect(cache.apply(share(120))).rejects.toThrow('no longer holds');
  };

  it('[C4] a fill that began before Redis was flushed is not read in the epoch after it', async () => {
    const body = fillAfter(cache.reader, async () => {
      await lose();
      cache.mandate = await cache.world.lead(lsn(100));
    });
    expect(await body).toBe('new');
  });

  it('[C4] were the epoch the same again, it would be, behind the watermark', async () => {
    const { control, live, position, epochs } = keys().control;
    const { term, epoch } = cache.mandate;
    const body = fillAfter(cache.reader, async () => {
      await lose();
      const { redis } = cache.world;
      const runId = await cache.world.control.readRunId();
      const base = lsnToHex(epoch.base);
      const args = [term, epoch.id, base, runId, '1', 1, 'test', 'p', epochs];
      expect(await runScript(redis, OPEN_EPOCH, [control, live, position], args)).toBe('ok');
      expect(await cache.world.renew(cache.mandate)).toBe(true);
    });
    expect(await body).toBe('old');
  });
});

describe('trail "term"', () => {
  const identity = { systemId: '1', timeline: 1, slot: 'test', publication: 'p' };

  /** One raises its term, is paused, and opens its epoch when its successor has opened one. */
  async function openLate(redis: Redis): Promise<unknown> {
    const { space, control } = cache.world;
    const paused = new ControlStore({ redis, space, log });
    const term = await paused.raiseTerm();
    cache.mandate = await cache.world.lead(lsn(200));
    return paused.openEpoch({ term, base: lsn(100), identity }).then(
      async () => (await control.readControl())?.epoch.id === cache.mandate.epoch.id,
      async (error: unknown) => String(error),
    );
  }

  it('[C14] an older leader that wakes before it has opened its epoch is refused', async () => {
    expect(await openLate(cache.world.redis)).toMatch('a newer leader has taken over');
    await cache.apply(share(210));
  });

  it('[C14] without the term it ends the epoch of its successor, from a position that is over', async () => {
    const guard = /if term and tonumber\(term\) > tonumber\(ARGV\[1\]\) then return 'term' end/;
    expect(await openLate(withoutGuard(cache.world.redis, OPEN_EPOCH, guard))).toBe(false);
    expect((await cache.world.control.readControl())?.position).toBe(100n);
  });

  it('[C14] an older leader that wakes with a batch in its hands is refused, and without the term is not', async () => {
    await cache.apply(share(110));
    const paused = { ...cache.mandate };
    const term = await cache.world.control.raiseTerm();
    cache.mandate = { ...paused, term };
    await cache.world.control.fence(cache.mandate);
    const late = { ...paused, shares: [share(120)] };
    await expect(cache.world.writer().apply(late)).rejects.toThrow('newer leader');
    const guard = /if state\[1\] and tonumber\(state\[1\]\) > term then return 'term' end/;
    const redis = withoutGuard(cache.world.redis, APPLY, guard);
    await new CacheWriter({ ...cache.world, redis }).apply(late);
    expect(await cache.world.redis.hget(keys().head, 'w')).toBe(lsnToHex(lsn(120)));
  });
});

describe('trail "expected watermark"', () => {
  async function readAfterLoss(): Promise<number[]> {
    await cache.apply(share(110));
    const { head, log: stream, sizes } = keys();
    await cache.world.redis.del(head, stream, sizes);
    await cache.apply(share(120));
    const accountLog = new AccountLog(cache.world);
    const found: number[] = [];
    const from = { accountId: PLACE.accountId, epoch: cache.mandate.epoch.id };
    for await (const commit of accountLog.read({ ...from, after: cache.mandate.epoch.base }))
      found.push(Number(commit.lsn));
    return found;
  }

  it('[C15] an account that lost its log is not written to as if it were new', async () => {
    await expect(readAfterLoss()).rejects.toThrow('no longer holds this epoch');
  });

  it('[C15] without the expectation it is, and whoever resumes misses a commit', async () => {
    const guard = /if expected ~= '' and .* return 'lost' end/;
    const redis = withoutGuard(cache.world.redis, APPLY, guard);
    cache.writer = new CacheWriter({ ...cache.world, redis });
    expect(await readAfterLoss()).toEqual([120]);
    expect(lsnFromHex((await cache.world.redis.hget(keys().head, 'trimmed')) ?? '')).toBe(100n);
  });
});
