import { describe, expect, it } from 'vitest';
import { LIVENESS_MS } from '../../../domain/cache-key.ts';
import { lsnToHex } from '../../../domain/lsn.ts';
import { CacheReader } from '../../../platform/cache/reader.ts';
import { FILL, runScript } from '../../../platform/cache/scripts.ts';
import { answer, cacheFixture, heldRead, PLACE, share } from './fixture.ts';
import { createLog } from '../../../platform/log.ts';
import { eventually } from '../../support/eventually.ts';
import { keysOf, lsn } from './world.ts';

const cache = cacheFixture();
const log = createLog({ component: 'cache', level: 'silent' });

describe('reading and filling', () => {
  it('[C1] the first read is a miss, the second a hit with the same bytes', async () => {
    const body = '{"data":{"name":"Ünïcode 😀"}}';
    expect(await cache.reader.readThrough({ ...PLACE, load: answer(body) })).toMatchObject({
      status: 'miss',
      body,
    });
    const hit = await cache.reader.readThrough({ ...PLACE, load: answer('never asked') });
    expect(hit).toMatchObject({ status: 'hit', body });
  });

  it.each([
    ['its family', 'all'],
    ['its entry', ['5']],
  ] as const)('[C2] a fill is refused when %s was touched after its miss', async (_, ids) => {
    const read = heldRead(cache.reader, 'old');
    await read.began;
    await cache.apply(share(110, { ids }));
    read.release();
    expect((await read.result).status).toBe('miss');
    expect(await cache.reader.readThrough({ ...PLACE, load: answer('new') })).toMatchObject({
      status: 'miss',
      body: 'new',
    });
  });

  it('[C2] a fill stands when another entry of its family was touched', async () => {
    const read = heldRead(cache.reader, 'mine');
    await read.began;
    await cache.apply(share(110, { ids: ['6'] }));
    read.release();
    await read.result;
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('no') })).status).toBe('hit');
  });

  it('[C3] a fill is refused when its miss is older than half a tombstone lives', async () => {
    const keys = keysOf(cache.world, 1, cache.mandate.epoch.id);
    const fill = async (ageMs: number): Promise<unknown> => {
      const atMs = (await cache.world.control.redisTimeMs()) - ageMs;
      const args = ['5', 'body', lsnToHex(cache.mandate.epoch.base), atMs, 60_000, 10, 1e6, 60];
      return runScript(
        cache.world.redis,
        FILL,
        [keys.family('leads.row'), keys.tombstone('leads.row'), keys.tombstone('leads.row/5')],
        args,
      );
    };
    expect(await fill(60_100)).toBe('old');
    expect(await fill(1_000)).toBe('stored');
  });

  it('[C4] a fill of an epoch that is over is never read', async () => {
    const read = heldRead(cache.reader, 'old epoch');
    await read.began;
    cache.mandate = await cache.world.lead(lsn(200));
    read.release();
    await read.result;
    expect(await cache.reader.readThrough({ ...PLACE, load: answer('new') })).toMatchObject({
      status: 'miss',
      body: 'new',
    });
  });

  it('[C6] an absent row is stored, and fenced when it appears', async () => {
    await cache.reader.readThrough({ ...PLACE, load: answer('null') });
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('x') })).body).toBe('null');
    await cache.apply(share(110, { ids: ['5'] }));
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('{}') })).body).toBe('{}');
  });

  it('[C7] concurrent misses share a query; a reader after a commit does not join one from before it', async () => {
    let queries = 0;
    const first = heldRead(cache.reader, 'before');
    await first.began;
    const count = async (): Promise<string> => {
      queries++;
      return 'after';
    };
    const joined = cache.reader.readThrough({ ...PLACE, load: count });
    await cache.apply(share(110));
    const late = await cache.reader.readThrough({ ...PLACE, load: count });
    expect(late.body).toBe('after');
    first.release();
    expect((await joined).body).toBe('before');
    expect(queries).toBe(1);
  });

  it('[C8] without a lease reads bypass, and a heartbeat sent too long ago does not renew it', async () => {
    await cache.world.redis.del(keysOf(cache.world, 1, cache.mandate.epoch.id).control.live);
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('bypass');
    const nowMs = await cache.world.control.redisTimeMs();
    expect(
      await cache.world.control.renewLease({ ...cache.mandate, sentAtMs: nowMs - LIVENESS_MS }),
    ).toBe(false);
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('bypass');
    expect(await cache.world.control.renewLease({ ...cache.mandate, sentAtMs: nowMs })).toBe(true);
    const leftMs = await cache.world.redis.pttl(
      keysOf(cache.world, 1, cache.mandate.epoch.id).control.live,
    );
    expect(leftMs).toBeLessThanOrEqual(LIVENESS_MS);
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('miss');
  });

  it('[C8] a lease that is never renewed is trusted no longer than a lease lives, whatever clock Redis has', async () => {
    const { redis, space, metrics } = cache.world;
    const { live } = keysOf(cache.world, 1, cache.mandate.epoch.id).control;
    let passedMs = 0;
    const now = (): number => performance.now() + passedMs;
    const reader = new CacheReader({ redis, space, log, metrics, now });
    const read = async (): Promise<string> =>
      (await reader.readThrough({ ...PLACE, load: answer('a') })).status;
    await eventually(async () => (await read()) !== 'bypass');
    // As when its clock has been put back by an hour.
    await redis.persist(live);
    passedMs += LIVENESS_MS + 100;
    expect(await read()).toBe('bypass');
    await cache.world.renew(cache.mandate);
    expect(await read()).not.toBe('bypass');
  });

  it('[C8] a lease written by another Redis process is not trusted', async () => {
    const { live } = keysOf(cache.world, 1, cache.mandate.epoch.id).control;
    const lease = JSON.parse((await cache.world.redis.get(live)) ?? '{}') as Record<
      string,
      unknown
    >;
    await cache.world.redis.set(
      live,
      JSON.stringify({ ...lease, run_id: 'another' }),
      'PX',
      60_000,
    );
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('bypass');
  });

  it('[C9] a read bypasses while the position is behind its Clarin-Min-Commit', async () => {
    await cache.reader.readThrough({ ...PLACE, load: answer('cached') });
    const ask = () =>
      cache.reader.readThrough({ ...PLACE, minCommit: lsn(150), load: answer('fresh') });
    expect(await ask()).toMatchObject({ status: 'bypass', body: 'fresh' });
    await cache.world.control.advance({ ...cache.mandate, position: lsn(150) });
    expect((await ask()).status).toBe('hit');
  });

  it('[C10] the cursor is the base before the first commit, and the watermark after', async () => {
    const before = await cache.reader.readThrough({ ...PLACE, load: answer('a') });
    expect(before.cursor).toEqual({ epoch: cache.mandate.epoch.id, lsn: 100n });
    await cache.apply(share(110, { ids: ['6'] }));
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('a') })).cursor?.lsn).toBe(
      110n,
    );
  });

  it('[C10] a bypass carries the cursor of the position that was known before it read', async () => {
    await cache.world.control.advance({ ...cache.mandate, position: lsn(130) });
    await cache.world.redis.del(keysOf(cache.world, 1, cache.mandate.epoch.id).control.live);
    expect((await cache.reader.readThrough({ ...PLACE, load: answer('a') })).cursor?.lsn).toBe(
      129n,
    );
  });
});
