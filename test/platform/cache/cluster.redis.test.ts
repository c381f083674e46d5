import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { accountKeys, controlKeys, type Keyspace } from '../../../domain/cache-key.ts';
import { lsnToHex } from '../../../domain/lsn.ts';
import { ControlStore, type Mandate } from '../../../platform/cache/control.ts';
import { CacheReader, type CachedBody } from '../../../platform/cache/reader.ts';
import { FILL, runScript } from '../../../platform/cache/scripts.ts';
import { CacheWriter } from '../../../platform/cache/writer.ts';
import { createLog } from '../../../platform/log.ts';
import { createMetrics, type Metrics } from '../../../platform/metrics.ts';
import {
  assertRedisFits,
  createRedis,
  infoOfAll,
  type RedisClient,
} from '../../../platform/redis.ts';
import {
  startRedisCluster,
  type TestCluster,
  type TestNode,
} from '../../stack/support/redis-cluster.ts';
import { eventually } from '../../support/services.ts';
import { answer, share } from './fixture.ts';
import { lsn } from './world.ts';

const IDENTITY = { systemId: '1', timeline: 1, slot: 'test', publication: 'p' };
const ROW = { family: 'leads.row', field: '5' };
/** The last thing the client was told is TRYAGAIN or MOVED. */
const SENT_TO_AND_FRO = 'Too many Cluster redirections';
const log = createLog({ component: 'cache', level: 'silent' });

/** What one process with one memory gave for free: who answered, and that a script finds all of its keys. */
describe('the cache protocol in a Redis Cluster', () => {
  let worlds = 0;
  let cluster: TestCluster;
  let space: Keyspace;
  let redis: RedisClient;
  let metrics: Metrics;
  let control: ControlStore;
  let mandate: Mandate;
  let reader: CacheReader;
  /** An account whose node is not the one with control. */
  let accountId: number;
  let node: TestNode;

  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(() => cluster.stop());
  beforeEach(async () => {
    space = { prefix: `c${++worlds}` };
    metrics = createMetrics('test');
    redis = createRedis({ url: cluster.url, name: 'test', log });
    await cluster.untilWhole();
    await redis.connect();
    control = new ControlStore({ redis, space, log });
    const term = await control.raiseTerm();
    mandate = {
      term,
      epoch: await control.openEpoch({ term, base: lsn(100), identity: IDENTITY }),
    };
    await renew();
    reader = new CacheReader({ redis, space, log, metrics });
    [accountId, node] = await findAccount();
  });
  afterEach(() => redis.disconnect());

  const renew = async (): Promise<boolean> =>
    control.renewLease({ ...mandate, sentAtMs: await control.redisTimeMs() });
  const keys = () => accountKeys(space, accountId, mandate.epoch.id);
  const read = (body: string): Promise<CachedBody> =>
    reader.readThrough({ accountId, ...ROW, load: answer(body) });

  async function findAccount(): Promise<[number, TestNode]> {
    const elsewhere = await cluster.holder(controlKeys(space).control);
    for (let id = 1; ; id++) {
      const holder = await cluster.holder(accountKeys(space, id, '').head);
      if (holder !== elsewhere) return [id, holder];
    }
  }

  async function apply(at: number, ids: readonly string[] | 'all' = 'all'): Promise<void> {
    const writer = new CacheWriter({ redis, space, metrics });
    await writer.apply({ ...mandate, shares: [share(at, { accountId, ids })] });
  }

  it('[C1] misses, fills, hits and invalidates, whichever node an account is at', async () => {
    for (const id of [1, 2, 3, 4, 5, 6]) {
      accountId = id;
      expect((await read('one')).status).toBe('miss');
      expect(await read('two')).toMatchObject({ status: 'hit', body: 'one' });
      await apply(110);
      expect(await read('two')).toMatchObject({ status: 'miss', body: 'two' });
    }
  });

  it('[C3] a slot that is moving: no fill, while a tombstone may be at the other node', async () => {
    await apply(110);
    await apply(120, ['5']);
    await read('another entry of the family');
    const { family, tombstone } = keys();
    const names = [family(ROW.family), tombstone(ROW.family), tombstone(`${ROW.family}/5`)];
    // Of a reader that looked before the commit at 120.
    const atMs = await control.redisTimeMs();
    const args = ['5', 'old', lsnToHex(lsn(115)), atMs, 60_000, 10, 1e6, 60];
    const to = cluster.nodes.find((one) => one !== node);
    if (!to) throw new Error('there is one node only');
    await cluster.moveSlot(names[0] ?? '', to, {
      first: names.slice(0, 2),
      between: async () => {
        await expect(runScript(redis, FILL, names, args)).rejects.toThrow(SENT_TO_AND_FRO);
        const undeclared = FILL.source.replace('KEYS[3]', "KEYS[2] .. '/' .. ARGV[1]");
        expect(await redis.eval(undeclared, 2, ...names.slice(0, 2), ...args)).toBe('stored');
      },
    });
    expect(await runScript(redis, FILL, names, args)).toBe('fenced');
  });

  it('[C15] a slot that has moved ends nothing, and a commit while it moves waits', async () => {
    await apply(110);
    const to = cluster.nodes.find((one) => one !== node);
    if (!to) throw new Error('there is one node only');
    await cluster.moveSlot(keys().head, to, {
      between: () => expect(apply(120)).rejects.toThrow(SENT_TO_AND_FRO),
    });
    await apply(120);
    expect(await redis.hget(keys().head, 'w')).toBe(lsnToHex(lsn(120)));
    expect(await redis.xlen(keys().log)).toBe(2);
    expect(await renew()).toBe(true);
  });

  it('[C15] a node that starts again ends the epoch at the next heartbeat, without any commit', async () => {
    expect(await renew()).toBe(true);
    await node.restart();
    await cluster.untilWhole();
    await eventually(
      () =>
        renew().then(
          () => false,
          (error: unknown) => String(error).includes('no longer holds this epoch'),
        ),
      {
        says: 'the epoch is lost',
      },
    );
  });

  it('is found by one address, and a node that is named as if it were one Redis is refused', async () => {
    const url = cluster.nodes[1]?.url ?? '';
    const found = createRedis({ url: `${url}?cluster=true`, name: 'test', log });
    const mistaken = createRedis({ url, name: 'test', log });
    try {
      await Promise.all([found.connect(), mistaken.connect()]);
      await assertRedisFits(found);
      expect(await infoOfAll(found)).toHaveLength(3);
      await expect(assertRedisFits(mistaken)).rejects.toThrow(
        /REDIS_URL names one node of a Cluster/,
      );
    } finally {
      found.disconnect();
      mistaken.disconnect();
    }
  });

  it('[C15] of no connection nothing follows: the epoch is not lost when nobody answers', async () => {
    redis.disconnect();
    await expect(control.readRunId()).rejects.toThrow('no node of the Cluster answers');
  });

  // Last: what a node has saved is there whenever it starts again.
  it('[C8] a node that comes back with what it had saved is not read', async () => {
    await read('old');
    await node.command('SAVE');
    await apply(110);
    const { live } = controlKeys(space);
    const lease = JSON.parse((await redis.get(live)) ?? '{}') as Record<string, unknown>;
    await node.restart();
    await cluster.untilWhole();
    await eventually(() => redis.exists(keys().head), { says: 'the node answers' });
    // The lease as it was, however long that took.
    await redis.set(live, JSON.stringify(lease), 'PX', 60_000);
    await eventually(
      async () => (await reasons()).includes('restarted') || (await read('new'), false),
    );
    expect(await read('new')).toMatchObject({ status: 'bypass', body: 'new' });
    await redis.set(
      live,
      JSON.stringify({ ...lease, run_id: await control.readRunId() }),
      'PX',
      60_000,
    );
    expect(await read('new')).toMatchObject({ status: 'hit', body: 'old' });
  });

  async function reasons(): Promise<unknown[]> {
    const { values } = await metrics.cacheBypasses.get();
    return values.map((value) => value.labels['reason']);
  }
});
