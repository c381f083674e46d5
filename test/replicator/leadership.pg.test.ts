import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toLsn } from '../../domain/lsn.ts';
import { CacheWriter } from '../../platform/cache/writer.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createRedis } from '../../platform/redis.ts';
import { createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type Started, type World } from './running.ts';
import { log, one } from './support.ts';

let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

async function takeovers(replicator: Started): Promise<number> {
  return (await replicator.metrics.takeovers.get()).values[0]?.value ?? 0;
}

const term = async (replicator: Started): Promise<number> =>
  (await replicator.metrics.term.get()).values[0]?.value ?? 0;

describe('leadership', () => {
  test('[R21] one of two leads, the other waits green, and takes over within two seconds', async () => {
    const first = await world.start();
    await untilGreen(first);
    const second = await world.start();
    await untilGreen(second);
    expect([await first.isLeading(), await second.isLeading()]).toEqual([true, false]);
    const before = (await world.control.readControl())?.epoch.id;
    await insertTag(world.client, account, 'one');
    await eventually(async () => (await world.readNames(account)).includes('one'));
    const oldTerm = await term(first);
    const startedAt = performance.now();
    await first.stop();
    await insertTag(world.client, account, 'two');
    await eventually(async () => (await world.readNames(account)).includes('two'));
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(await second.isLeading()).toBe(true);
    expect(await term(second)).toBeGreaterThan(oldTerm);
    expect((await world.control.readControl())?.epoch.id).toBe(before);
    expect(await world.readNames(account)).toEqual(['one', 'two']);
  });

  test('[R21] losing the connection that holds the lock ends the leadership at once, and one of them leads again', async () => {
    const [first, second] = [await world.start(), await world.start()];
    await untilGreen(first);
    await eventually(async () => (await first.isLeading()) !== (await second.isLeading()));
    await one(
      world.client,
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name like 'clarin leader %' and pid in (select pid from pg_locks where locktype = 'advisory')`,
    );
    await eventually(async () => (await takeovers(first)) + (await takeovers(second)) === 2);
    await eventually(async () => (await first.isLeading()) !== (await second.isLeading()));
    await insertTag(world.client, account, 'after');
    await eventually(async () => (await world.readNames(account)).includes('after'));
  });

  test('[R21] a leader whose term is over is refused by Redis and steps down', async () => {
    const first = await world.start();
    await untilGreen(first);
    const newer = await world.control.raiseTerm();
    await eventually(async () => (await takeovers(first)) === 2, {
      says: 'it leads again, by a term of its own',
    });
    expect(await term(first)).toBeGreaterThan(newer);
    await untilGreen(first);
  });
});

describe('a leader that was paused', () => {
  test('[R21] is refused by accounts that its successor has not written to yet', async () => {
    const first = await world.start();
    await untilGreen(first);
    await insertTag(world.client, account, 'before');
    await eventually(async () => (await world.readNames(account)).length === 1);
    const known = await world.control.readControl();
    if (!known) throw new Error('no epoch');
    const mandate = { term: known.term, epoch: known.epoch };
    await first.stop();
    const second = await world.start();
    await untilGreen(second);
    const redis = createRedis({ url: world.config.redisUrl, name: 'test', log });
    await redis.connect();
    const space = { prefix: world.config.redisPrefix };
    const paused = new CacheWriter({ redis, space, metrics: createMetrics('test') });
    const [commit] = await world.readLog(account);
    if (!commit) throw new Error('no commit');
    const late = { ...commit, lsn: toLsn(commit.lsn + 1n) };
    const shares = [{ accountId: account, commits: [late], invalidations: [] }];
    await expect(paused.apply({ ...mandate, shares })).rejects.toThrow('newer leader');
    redis.disconnect();
  });
});

describe('the start', () => {
  test('[R24] is refused with every reason when the publication differs', async () => {
    await world.client.query('alter publication clarin drop table tags, leads');
    await world.client.query('alter table contacts replica identity full');
    const starting = world.start();
    await expect(starting).rejects.toMatchObject({ code: 'replication_drift' });
    await expect(starting).rejects.toThrow(/tags.*leads|leads.*tags/);
    await expect(starting).rejects.toThrow(/contacts/);
  });

  test('is refused in words for a role that may not replicate', async () => {
    const { url } = world.database;
    const { startReplicator } = await import('../../replicator/main.ts');
    const config = { ...world.config, replicationDatabaseUrl: url };
    await expect(startReplicator(config, log, new AbortController().signal)).rejects.toThrow(
      /may not replicate/,
    );
  });

  test('[R24] an identity that is altered under the stream ends the process', async () => {
    const replicator = await world.start();
    await untilGreen(replicator);
    await world.client.query('alter table tags replica identity full');
    await insertTag(world.client, account, 'drifted');
    expect(await replicator.fatal).toMatchObject({ code: 'replication_drift' });
  });
});
