import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ENTRY_BYTES_MAX, FAMILY_ENTRIES_MAX, LIVENESS_MS } from '../../../domain/cache-key.ts';
import type { AccountCommit } from '../../../domain/change.ts';
import { lsnToHex } from '../../../domain/lsn.ts';
import { AccountLog, HistoryTrimmedError } from '../../../platform/cache/account-log.ts';
import type { Mandate } from '../../../platform/cache/control.ts';
import type { CacheReader } from '../../../platform/cache/reader.ts';
import { FILL, runScript } from '../../../platform/cache/scripts.ts';
import { CacheWriter } from '../../../platform/cache/writer.ts';
import type { AccountShare } from '../../../platform/cache/types.ts';
import { startRedis, type TestRedis } from '../../support/services.ts';
import { commitOf, keysOf, lsn, openCacheWorld, type CacheWorld } from './world.ts';

const PLACE = { accountId: 1, family: 'leads.row', field: '5' };
const answer = (body: string) => async (): Promise<string> => body;

let server: TestRedis;
let world: CacheWorld;
let mandate: Mandate;
let reader: CacheReader;
let writer: CacheWriter;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  world = await openCacheWorld(server.url);
  mandate = await world.lead(lsn(100));
  reader = await world.reader();
  writer = world.writer();
});
afterEach(() => world.close());

function share(at: number, options: { accountId?: number; family?: string; ids?: readonly string[] | 'all' } = {}): AccountShare {
  const { accountId = 1, family = 'leads.row', ids = 'all' } = options;
  return { accountId, commits: [commitOf(accountId, at)], invalidations: [{ family, lsn: lsn(at), ids }] };
}

const apply = (...shares: AccountShare[]): Promise<void> => writer.apply({ ...mandate, shares });

/** A read whose load stops in the middle until released. */
function heldRead(from: CacheReader, body: string) {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let begin = (): void => undefined;
  const began = new Promise<void>((resolve) => (begin = resolve));
  const load = async (): Promise<string> => {
    begin();
    await held;
    return body;
  };
  return { began, release, result: from.readThrough({ ...PLACE, load }) };
}

describe('reading and filling', () => {
  it('[C1] the first read is a miss, the second a hit with the same bytes', async () => {
    const body = '{"data":{"name":"Ünïcode 😀"}}';
    expect(await reader.readThrough({ ...PLACE, load: answer(body) })).toMatchObject({ status: 'miss', body });
    const hit = await reader.readThrough({ ...PLACE, load: answer('never asked') });
    expect(hit).toMatchObject({ status: 'hit', body });
  });

  it.each([
    ['its family', 'all'],
    ['its entry', ['5']],
  ] as const)('[C2] a fill is refused when %s was touched after its miss', async (_, ids) => {
    const read = heldRead(reader, 'old');
    await read.began;
    await apply(share(110, { ids }));
    read.release();
    expect((await read.result).status).toBe('miss');
    expect(await reader.readThrough({ ...PLACE, load: answer('new') })).toMatchObject({ status: 'miss', body: 'new' });
  });

  it('[C2] a fill stands when another entry of its family was touched', async () => {
    const read = heldRead(reader, 'mine');
    await read.began;
    await apply(share(110, { ids: ['6'] }));
    read.release();
    await read.result;
    expect((await reader.readThrough({ ...PLACE, load: answer('no') })).status).toBe('hit');
  });

  it('[C3] a fill is refused when its miss is older than half a tombstone lives', async () => {
    const keys = keysOf(world, 1, mandate.epoch.id);
    const fill = async (ageMs: number): Promise<unknown> => {
      const atMs = (await world.control.redisTimeMs()) - ageMs;
      const args = ['5', 'body', lsnToHex(mandate.epoch.base), atMs, 60_000, 10, 60];
      return runScript(world.redis, FILL, [keys.family('leads.row'), keys.tombstone('leads.row')], args);
    };
    expect(await fill(60_100)).toBe('old');
    expect(await fill(1_000)).toBe('stored');
  });

  it('[C4] a fill of an epoch that is over is never read', async () => {
    const read = heldRead(reader, 'old epoch');
    await read.began;
    mandate = await world.lead(lsn(200));
    read.release();
    await read.result;
    expect(await reader.readThrough({ ...PLACE, load: answer('new') })).toMatchObject({ status: 'miss', body: 'new' });
  });

  it('[C6] an absent row is stored, and fenced when it appears', async () => {
    await reader.readThrough({ ...PLACE, load: answer('null') });
    expect((await reader.readThrough({ ...PLACE, load: answer('x') })).body).toBe('null');
    await apply(share(110, { ids: ['5'] }));
    expect((await reader.readThrough({ ...PLACE, load: answer('{}') })).body).toBe('{}');
  });

  it('[C7] concurrent misses share a query; a reader after a commit does not join one from before it', async () => {
    let queries = 0;
    const first = heldRead(reader, 'before');
    await first.began;
    const count = async (): Promise<string> => {
      queries++;
      return 'after';
    };
    const joined = reader.readThrough({ ...PLACE, load: count });
    await apply(share(110));
    const late = await reader.readThrough({ ...PLACE, load: count });
    expect(late.body).toBe('after');
    first.release();
    expect((await joined).body).toBe('before');
    expect(queries).toBe(1);
  });

  it('[C8] without a lease reads bypass, and a heartbeat sent too long ago does not renew it', async () => {
    await world.redis.del(keysOf(world, 1, mandate.epoch.id).control.live);
    expect((await reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('bypass');
    const nowMs = await world.control.redisTimeMs();
    expect(await world.control.renewLease({ ...mandate, sentAtMs: nowMs - LIVENESS_MS })).toBe(false);
    expect((await reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('bypass');
    expect(await world.control.renewLease({ ...mandate, sentAtMs: nowMs })).toBe(true);
    const leftMs = await world.redis.pttl(keysOf(world, 1, mandate.epoch.id).control.live);
    expect(leftMs).toBeLessThanOrEqual(LIVENESS_MS);
    expect((await reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('miss');
  });

  it('[C8] a lease written by another Redis process is not trusted', async () => {
    const { live } = keysOf(world, 1, mandate.epoch.id).control;
    const lease = JSON.parse((await world.redis.get(live)) ?? '{}') as Record<string, unknown>;
    await world.redis.set(live, JSON.stringify({ ...lease, run_id: 'another' }), 'PX', 60_000);
    expect((await reader.readThrough({ ...PLACE, load: answer('a') })).status).toBe('bypass');
  });

  it('[C9] a read bypasses while the position is behind its Clarin-Min-Commit', async () => {
    await reader.readThrough({ ...PLACE, load: answer('cached') });
    const ask = () => reader.readThrough({ ...PLACE, minCommit: lsn(150), load: answer('fresh') });
    expect(await ask()).toMatchObject({ status: 'bypass', body: 'fresh' });
    await world.control.advance({ ...mandate, position: lsn(150) });
    expect((await ask()).status).toBe('hit');
  });

  it('[C10] the cursor is the base before the first commit, and the watermark after', async () => {
    const before = await reader.readThrough({ ...PLACE, load: answer('a') });
    expect(before.cursor).toEqual({ epoch: mandate.epoch.id, lsn: 100n });
    await apply(share(110, { ids: ['6'] }));
    expect((await reader.readThrough({ ...PLACE, load: answer('a') })).cursor?.lsn).toBe(110n);
  });

  it('[C10] a bypass carries the position that was known before it read', async () => {
    await world.control.advance({ ...mandate, position: lsn(130) });
    await world.redis.del(keysOf(world, 1, mandate.epoch.id).control.live);
    expect((await reader.readThrough({ ...PLACE, load: answer('a') })).cursor?.lsn).toBe(130n);
  });
});

describe('invalidation', () => {
  it('[C12] log, watermark and invalidation change together', async () => {
    await reader.readThrough({ ...PLACE, load: answer('old') });
    await apply(share(110));
    const keys = keysOf(world, 1, mandate.epoch.id);
    expect(await world.redis.hget(keys.head, 'w')).toBe('000000000000006E');
    expect(await world.redis.xlen(keys.log)).toBe(1);
    expect(await world.redis.exists(keys.family('leads.row'))).toBe(0);
  });

  it('[C12] one account refusing does not keep the others from being applied', async () => {
    await apply(share(110, { accountId: 2 }));
    await world.redis.hset(keysOf(world, 2, mandate.epoch.id).head, 'term', mandate.term + 1);
    await expect(apply(share(120, { accountId: 2 }), share(120, { accountId: 3 }))).rejects.toThrow('newer leader');
    expect(await world.redis.xlen(keysOf(world, 3, mandate.epoch.id).log)).toBe(1);
  });

  it('[C13] applying a batch again changes nothing, also by the next leader', async () => {
    await apply(share(110), share(110, { accountId: 2 }));
    const dump = async () => world.redis.xrange(keysOf(world, 1, mandate.epoch.id).log, '-', '+');
    const before = await dump();
    await apply(share(110), share(110, { accountId: 2 }));
    await world.writer().apply({ ...mandate, shares: [share(110)] });
    expect(await dump()).toEqual(before);
  });

  it('[C13] of a batch that was applied in part only the rest is applied', async () => {
    await apply(share(110));
    const both = { ...share(120), commits: [commitOf(1, 110), commitOf(1, 120)] };
    await world.writer().apply({ ...mandate, shares: [both] });
    expect(await world.redis.xlen(keysOf(world, 1, mandate.epoch.id).log)).toBe(2);
  });

  it('[C14] a paused leader that wakes after a takeover is refused everywhere', async () => {
    await apply(share(110));
    const term = await world.control.raiseTerm();
    await world.control.fence({ ...mandate, term });
    await expect(apply(share(120))).rejects.toThrow('newer leader');
    await expect(world.control.advance({ ...mandate, position: lsn(120) })).rejects.toThrow('newer leader');
    await expect(world.renew(mandate)).rejects.toThrow('newer leader');
    await expect(world.control.beat(mandate.term)).rejects.toThrow('newer leader');
    const identity = { systemId: '1', timeline: 1, slot: 's', publication: 'p' };
    await expect(world.control.openEpoch({ term: mandate.term, base: lsn(1), identity })).rejects.toThrow('newer leader');
  });

  it('[C15] a head that vanished or went back ends the epoch', async () => {
    await apply(share(110));
    await world.redis.del(keysOf(world, 1, mandate.epoch.id).head);
    await expect(apply(share(120))).rejects.toThrow('no longer holds');
  });

  it('[C15] a flushed Redis ends the epoch at the next heartbeat or batch', async () => {
    const keys = await world.redis.keys(`${world.space.prefix}:*`);
    await world.redis.del(...keys);
    await expect(world.renew(mandate)).rejects.toThrow('no longer holds');
    await expect(world.control.advance({ ...mandate, position: lsn(120) })).rejects.toThrow('no longer holds');
    expect(await world.control.readControl()).toBeUndefined();
  });

  it('[C16] a new epoch drops every key of the older one', async () => {
    await reader.readThrough({ ...PLACE, load: answer('old') });
    await apply(share(110, { ids: ['6'] }), share(110, { accountId: 2 }));
    const older = mandate.epoch.id;
    mandate = await world.lead(lsn(200));
    const left = (await world.redis.keys(`${world.space.prefix}:*`)).filter((key) => key.includes(older) && !key.includes(':t:'));
    expect(left).toEqual([]);
    expect(await world.control.readControl()).toMatchObject({ epoch: mandate.epoch, position: 200n });
  });

  it('[C17] an invalidation sends as many commands with 1,000 entries cached as with one', async () => {
    const commandsOf = async (at: number): Promise<number> => {
      const count = async () => Number(/total_commands_processed:(\d+)/.exec(await world.redis.info('stats'))?.[1]);
      const before = await count();
      await apply(share(at));
      return (await count()) - before;
    };
    await apply(share(105));
    const empty = await commandsOf(110);
    for (let id = 0; id < 1_000; id++) {
      await reader.readThrough({ accountId: 1, family: 'leads.row', field: String(id), load: answer('x') });
    }
    expect(await commandsOf(120)).toBe(empty);
  });
});

describe('bounds', () => {
  it('[C18] a family starts again when it is full, and a large body is not stored', async () => {
    const key = keysOf(world, 1, mandate.epoch.id).family('leads.row');
    await reader.readThrough({ ...PLACE, load: answer('x'.repeat(ENTRY_BYTES_MAX + 1)) });
    expect(await world.redis.hlen(key)).toBe(0);
    const fields = Array.from({ length: FAMILY_ENTRIES_MAX }, (_, i) => [`f${i}`, 'x']).flat();
    await world.redis.hset(key, ...fields);
    await reader.readThrough({ ...PLACE, load: answer('x') });
    expect(await world.redis.hlen(key)).toBe(1);
    expect(await world.redis.ttl(key)).toBeGreaterThan(0);
  });

  it('[C18] the log is cut at whole commits when it exceeds its budget', async () => {
    const small = new CacheWriter({ redis: world.redis, space: world.space, metrics: world.metrics, logBytesMax: 4_000 });
    for (let at = 110; at < 200; at += 10) {
      const commit = commitOf(1, at, JSON.stringify('x'.repeat(900)));
      await small.apply({ ...mandate, shares: [{ accountId: 1, commits: [commit], invalidations: [] }] });
    }
    const keys = keysOf(world, 1, mandate.epoch.id);
    expect(await world.redis.xlen(keys.log)).toBe(3);
    expect(await world.redis.llen(keys.sizes)).toBe(3);
    expect(Number(await world.redis.hget(keys.head, 'bytes'))).toBeLessThanOrEqual(4_000);
  });

  it('[C19] resuming from before the oldest commit is refused, from the newest cut one it is not', async () => {
    const small = new CacheWriter({ redis: world.redis, space: world.space, metrics: world.metrics, logBytesMax: 4_000 });
    for (let at = 110; at < 200; at += 10) {
      const commit = commitOf(1, at, JSON.stringify('x'.repeat(900)));
      await small.apply({ ...mandate, shares: [{ accountId: 1, commits: [commit], invalidations: [] }] });
    }
    const accountLog = new AccountLog({ redis: world.redis, space: world.space });
    const read = async (after: number): Promise<number[]> => {
      const found: number[] = [];
      const place = { accountId: 1, epoch: mandate.epoch.id, after: lsn(after) };
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
    await writer.apply({ ...mandate, shares: [{ accountId: 1, commits: [commit, commitOf(1, 120)], invalidations: [] }] });
    const accountLog = new AccountLog({ redis: world.redis, space: world.space });
    const found: AccountCommit[] = [];
    const place = { accountId: 1, epoch: mandate.epoch.id, after: lsn(100) };
    for await (const one of accountLog.read(place)) found.push(one);
    expect(found).toEqual([commit, commitOf(1, 120)]);
  });

  it('[C20] an entry of one account is not found by another', async () => {
    await reader.readThrough({ ...PLACE, load: answer('of 1') });
    const other = await reader.readThrough({ ...PLACE, accountId: 11, load: answer('of 11') });
    expect(other).toMatchObject({ status: 'miss', body: 'of 11' });
  });
});
