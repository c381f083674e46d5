import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { CacheReader, type CachedBody } from '../../platform/cache/reader.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createRedis, type RedisClient } from '../../platform/redis.ts';
import type { UnsafeSeams } from '../../replicator/seams.ts';
import { commitInvisibly, setStandby } from '../replicator/invisible-commit.ts';
import { createWorld, insertTag, untilGreen, type World } from '../replicator/running.ts';
import { connect, log, one } from '../replicator/support.ts';
import { eventually, startPostgres, type TestPostgres } from '../support/services.ts';

/** Trail "gate" of docs/proof, on Postgres itself: the replicator, a reader of the cache, and a commit that hangs. */
let postgres: TestPostgres;
let admin: pg.Client;
let world: World;
let account: number;
let redis: RedisClient;
let reader: CacheReader;

beforeAll(async () => {
  postgres = await startPostgres();
  admin = await connect(postgres.url);
});

afterAll(async () => {
  await admin.end();
  await postgres.remove();
});

beforeEach(async () => {
  world = await createWorld(await postgres.createDatabase());
  account = await world.createAccount('acme');
  redis = createRedis({ url: world.config.redisUrl, name: 'test', log });
  await redis.connect();
  const space = { prefix: world.config.redisPrefix };
  reader = new CacheReader({ redis, space, log, metrics: createMetrics('test') });
});

afterEach(async () => {
  await setStandby(admin, '');
  redis.disconnect();
  await world.close();
});

const read = (): Promise<CachedBody> =>
  reader.readThrough({
    accountId: account,
    family: 'tags.list',
    field: 'all',
    load: async () => {
      const names = `select coalesce(json_agg(name), '[]')::text as body from tags where account_id = $1`;
      return String((await one(world.client, names, [account]))['body']);
    },
  });

/** A commit hangs until `meanwhile` has answered; then what is read when it is visible and applied. */
async function readAround(seams: UnsafeSeams, meanwhile: () => Promise<void>): Promise<CachedBody> {
  const replicator = await world.start({ seams });
  await untilGreen(replicator);
  const { done, client } = await commitInvisibly(admin, world.database.ownerUrl, (writer) =>
    insertTag(writer, account, 'late'),
  );
  await meanwhile();
  await setStandby(admin, '');
  await done;
  await client.end();
  await eventually(async () => (await world.readNames(account)).includes('late'));
  await untilGreen(replicator);
  return eventually(async () => {
    const found = await read();
    return found.status === 'bypass' ? undefined : found;
  });
}

describe('a reader behind a commit that is in the WAL and not yet visible', () => {
  test('[R13] puts nothing back that outlives it', async () => {
    const found = await readAround({}, async () => {
      expect((await read()).body).toBe('[]');
      expect(await world.readNames(account)).toEqual([]);
    });
    expect(found.body).toBe('["late"]');
  });

  test('[R13] without the gate puts the old state back, behind its invalidation and for good', async () => {
    const found = await readAround({ gate: 'off' }, async () => {
      await eventually(async () => (await world.readNames(account)).includes('late'));
      expect(await read()).toMatchObject({ status: 'miss', body: '[]' });
    });
    expect(found).toMatchObject({ status: 'hit', body: '[]' });
  });
});
