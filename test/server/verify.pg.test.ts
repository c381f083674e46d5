import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountKeys, controlKeys, listFamily, rowFamily } from '../../domain/cache-key.ts';
import { CacheInspector } from '../../platform/cache/inspect.ts';
import { CacheReader, type CacheStatus } from '../../platform/cache/reader.ts';
import { createLog, type Log } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { loadEntry } from '../../server/api/rest/loaders.ts';
import { sampleOnce } from '../../server/api/sampler.ts';
import { runVerify } from '../../server/api/verify.ts';
import { createWorld, insertTag, untilGreen, type World } from '../replicator/running.ts';
import { one } from '../replicator/support.ts';
import { createTestDatabase, eventually } from '../support/services.ts';

const SEARCHED = 'somebody';
const PLANTED = 'planted by hand';
const LIST = `list?search=${SEARCHED}`;

/** `clarin verify` and the sampler, against a cache that a replicator keeps. */
describe('a cache that is compared with Postgres', () => {
  let world: World;
  let account: number;
  let redis: Redis;
  let database: Database;
  let cache: CacheReader;
  const metrics = createMetrics('test');
  const said: string[] = [];
  const log: Log = createLog(
    { component: 'api', level: 'info' },
    { write: (line: string) => void said.push(line) },
  );

  beforeAll(async () => {
    world = await createWorld(await createTestDatabase());
    account = await world.createAccount('acme');
    database = createDatabase({
      url: world.config.databaseUrl,
      applicationName: 'test',
      max: 4,
      statementTimeoutMs: 30_000,
      log,
    });
    redis = new Redis(world.config.redisUrl);
    const space = { prefix: world.config.redisPrefix };
    cache = new CacheReader({ redis, space, log, metrics });
    await untilGreen(await world.start());
  });
  afterAll(async () => {
    redis.disconnect();
    await database.close();
    await world.close();
  });

  async function read(family: string, field: string): Promise<CacheStatus> {
    const entry = { accountId: account, family, field };
    const load = async (): Promise<string> => (await loadEntry(database, entry)) ?? 'null';
    return (await cache.readThrough({ ...entry, load })).status;
  }
  const verify = (): Promise<number> => runVerify(world.config, log, []);
  const named = (): Record<string, unknown>[] =>
    said
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['family'] !== undefined);

  test('is in order while writers write', async () => {
    const ending = new AbortController();
    const write = async (): Promise<void> => {
      for (let n = 0; !ending.signal.aborted; n++) {
        await insertTag(world.client, account, `tag ${n}`);
        await world.client.query(
          'update tags set color = $2 where account_id = $1 and id % 3 = 0',
          [account, n % 2 === 0 ? '#000001' : '#000002'],
        );
        const { id } = await one(
          world.client,
          'select max(id) as id from tags where account_id = $1',
          [account],
        );
        await read(rowFamily('tags'), String(id));
        await read(listFamily('tags'), 'list?');
      }
    };
    const writing = write();
    await eventually(async () => (await read(listFamily('tags'), 'list?limit=5')) !== 'bypass');
    expect([await verify(), await verify()]).toEqual([0, 0]);
    ending.abort();
    await writing;
    expect(named()).toEqual([]);
    expect(said.some((line) => line.includes('"incoherent":0'))).toBe(true);
  });

  test('has values in it that somebody wrote by hand: verify ends with 1, the sampler counts them, and the log names the entries and nothing that is in them', async () => {
    const { id } = await one(world.client, 'select max(id) as id from tags where account_id = $1', [
      account,
    ]);
    const planted = [
      { family: rowFamily('tags'), field: String(id), name: String(id) },
      { family: listFamily('contacts'), field: LIST, name: 'list?search=*' },
    ];
    const epoch = (await redis.hget(
      controlKeys({ prefix: world.config.redisPrefix }).control,
      'epoch',
    )) as string;
    const keys = accountKeys({ prefix: world.config.redisPrefix }, account, epoch);
    for (const { family, field } of planted) {
      await eventually(async () => (await read(family, field)) === 'hit');
      await redis.hset(keys.family(family), field, JSON.stringify({ data: PLANTED }));
    }
    said.length = 0;
    expect(await verify()).toBe(1);
    for (const { family, name } of planted)
      expect(named()).toContainEqual(
        expect.objectContaining({ level: 50, account, family, field: name }),
      );
    expect(named()).toHaveLength(planted.length);
    const space = { prefix: world.config.redisPrefix };
    const inspector = new CacheInspector({ redis, space });
    // It takes entries at random: of a family with one entry, that one.
    await eventually(async () => {
      await sampleOnce({ database, cache, inspector, log, metrics });
      return (await metrics.cacheIncoherent.get()).values.some(({ value }) => value > 0);
    });
    expect(said.join()).not.toContain(PLANTED);
    expect(said.join()).not.toContain(SEARCHED);
  });
});
