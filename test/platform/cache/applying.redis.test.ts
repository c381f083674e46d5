import { describe, expect, it } from 'vitest';
import { controlKeys } from '../../../domain/cache-key.ts';
import { answer, cacheFixture, PLACE, share } from './fixture.ts';
import { commitOf, keysOf, lsn } from './world.ts';

const cache = cacheFixture();

describe('invalidation', () => {
  it('[C12] log, watermark and invalidation change together', async () => {
    await cache.reader.readThrough({ ...PLACE, load: answer('old') });
    await cache.apply(share(110));
    const keys = keysOf(cache.world, 1, cache.mandate.epoch.id);
    expect(await cache.world.redis.hget(keys.head, 'w')).toBe('000000000000006E');
    expect(await cache.world.redis.xlen(keys.log)).toBe(1);
    expect(await cache.world.redis.exists(keys.family('leads.row'))).toBe(0);
  });

  it('[C12] one account refusing does not keep the others from being applied', async () => {
    await cache.apply(share(110, { accountId: 2 }));
    await cache.world.redis.hset(
      keysOf(cache.world, 2, cache.mandate.epoch.id).head,
      'term',
      cache.mandate.term + 1,
    );
    await expect(
      cache.apply(share(120, { accountId: 2 }), share(120, { accountId: 3 })),
    ).rejects.toThrow('newer leader');
    expect(await cache.world.redis.xlen(keysOf(cache.world, 3, cache.mandate.epoch.id).log)).toBe(
      1,
    );
  });

  it('[C13] applying a batch again changes nothing, also by the next leader', async () => {
    await cache.apply(share(110), share(110, { accountId: 2 }));
    const dump = async () =>
      cache.world.redis.xrange(keysOf(cache.world, 1, cache.mandate.epoch.id).log, '-', '+');
    const before = await dump();
    await cache.apply(share(110), share(110, { accountId: 2 }));
    await cache.world.writer().apply({ ...cache.mandate, shares: [share(110)] });
    expect(await dump()).toEqual(before);
  });

  it('[C13] of a batch that was applied in part only the rest is applied', async () => {
    await cache.apply(share(110));
    const both = { ...share(120), commits: [commitOf(1, 110), commitOf(1, 120)] };
    await cache.world.writer().apply({ ...cache.mandate, shares: [both] });
    expect(await cache.world.redis.xlen(keysOf(cache.world, 1, cache.mandate.epoch.id).log)).toBe(
      2,
    );
  });

  it('[C14] a paused leader that wakes after a takeover is refused everywhere', async () => {
    await cache.apply(share(110));
    const term = await cache.world.control.raiseTerm();
    await cache.world.control.fence({ ...cache.mandate, term });
    await expect(cache.apply(share(120))).rejects.toThrow('newer leader');
    await expect(
      cache.world.control.advance({ ...cache.mandate, position: lsn(120) }),
    ).rejects.toThrow('newer leader');
    await expect(cache.world.renew(cache.mandate)).rejects.toThrow('newer leader');
    await expect(cache.world.control.beat(cache.mandate.term)).rejects.toThrow('newer leader');
    const identity = { systemId: '1', timeline: 1, slot: 's', publication: 'p' };
    await expect(
      cache.world.control.openEpoch({ term: cache.mandate.term, base: lsn(1), identity }),
    ).rejects.toThrow('newer leader');
  });

  it('[C15] a head that vanished or went back ends the epoch', async () => {
    await cache.apply(share(110));
    await cache.world.redis.del(keysOf(cache.world, 1, cache.mandate.epoch.id).head);
    await expect(cache.apply(share(120))).rejects.toThrow('no longer holds');
  });

  it('[C15] a flushed Redis ends the epoch at the next heartbeat or batch', async () => {
    const keys = await cache.world.redis.keys(`${cache.world.space.prefix}:*`);
    await cache.world.redis.del(...keys);
    await expect(cache.world.renew(cache.mandate)).rejects.toThrow('no longer holds');
    await expect(
      cache.world.control.advance({ ...cache.mandate, position: lsn(120) }),
    ).rejects.toThrow('no longer holds');
    expect(await cache.world.control.readControl()).toBeUndefined();
  });

  it('[C15] a Redis that came back as another process, with old data, ends the epoch at the next heartbeat', async () => {
    const { control } = controlKeys(cache.world.space);
    await cache.world.redis.hset(control, 'run_id', 'of the process that wrote this');
    await expect(cache.world.renew(cache.mandate)).rejects.toThrow('no longer holds');
  });

  it('[C16] a new epoch drops every key of the older one', async () => {
    await cache.reader.readThrough({ ...PLACE, load: answer('old') });
    await cache.apply(share(110, { ids: ['6'] }), share(110, { accountId: 2 }));
    const older = cache.mandate.epoch.id;
    cache.mandate = await cache.world.lead(lsn(200));
    const left = (await cache.world.redis.keys(`${cache.world.space.prefix}:*`)).filter(
      (key) => key.includes(older) && !key.includes(':t:'),
    );
    expect(left).toEqual([]);
    expect(await cache.world.control.readControl()).toMatchObject({
      epoch: cache.mandate.epoch,
      position: 200n,
    });
  });

  it('[C17] an invalidation sends as many commands with 1,000 entries cached as with one', async () => {
    const commandsOf = async (at: number): Promise<number> => {
      const count = async () =>
        Number(/total_commands_processed:(\d+)/.exec(await cache.world.redis.info('stats'))?.[1]);
      const before = await count();
      await cache.apply(share(at));
      return (await count()) - before;
    };
    await cache.apply(share(105));
    const empty = await commandsOf(110);
    for (let id = 0; id < 1_000; id++) {
      await cache.reader.readThrough({
        accountId: 1,
        family: 'leads.row',
        field: String(id),
        load: answer('x'),
      });
    }
    expect(await commandsOf(120)).toBe(empty);
  });
});
