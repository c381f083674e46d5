import { ClarinError } from '../../domain/errors.ts';
import { CacheInspector } from '../../platform/cache/inspect.ts';
import { CacheReader } from '../../platform/cache/reader.ts';
import type { Config } from '../../platform/config.ts';
import type { Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import { createMediaStore } from '../../platform/media/store.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { assertRedisFits, createRedis, type RedisClient } from '../../platform/redis.ts';
import { assertDatabaseFits, hostOf } from '../start-checks.ts';
import { buildApp } from './app.ts';
import type { App } from './context.ts';
import { startSampler } from './sampler.ts';

/**
 * Starts the API: checks what it needs, listens, samples the cache.
 * @throws ClarinError `configuration` with one sentence that says what to do.
 */
export async function startApi(config: Config, log: Log): Promise<Running & { url: string }> {
  const metrics = createMetrics('api');
  const { url: databaseUrl, max, statementTimeoutMs } = databaseOptions(config);
  const database = createDatabase({
    url: databaseUrl,
    applicationName: 'clarin api',
    max,
    statementTimeoutMs,
    log,
  });
  const redis = createRedis({ url: config.redisUrl, name: 'clarin-api', log });
  const space = { prefix: config.redisPrefix };
  const cache = new CacheReader({ redis, space, log, metrics });
  let app: App | undefined;
  try {
    await Promise.all([
      assertDatabaseFits(database, databaseUrl),
      connectRedis(redis, config.redisUrl),
    ]);
    const media = await createMediaStore(config.media);
    app = await buildApp({ config, database, cache, media, log, metrics, redis });
    const url = await listen(app, config);
    const sampler = startSampler({
      database,
      cache,
      inspector: new CacheInspector({ redis, space }),
      log,
      metrics,
    });
    log.info({ url }, 'api is listening');
    return { url, stop: once(() => stop(app, [sampler], database, redis)) };
  } catch (error) {
    await stop(app, [], database, redis);
    throw error;
  }
}

function databaseOptions(config: Config) {
  return {
    url: config.databaseUrl,
    max: config.poolMax,
    statementTimeoutMs: config.statementTimeoutMs,
  };
}

async function connectRedis(redis: RedisClient, url: string): Promise<void> {
  try {
    await redis.connect();
  } catch (error) {
    throw new ClarinError(
      'configuration',
      `Redis at ${hostOf(url)} is not reachable: start it, or set REDIS_URL to where it is.`,
      { cause: error },
    );
  }
  await assertRedisFits(redis);
}

async function listen(app: App, config: Config): Promise<string> {
  try {
    return await app.listen({ host: config.host, port: config.apiPort });
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EADDRINUSE') throw error;
    throw new ClarinError(
      'configuration',
      `port ${config.apiPort} is taken: stop what listens there, or set API_PORT to another one.`,
      { cause: error },
    );
  }
}

async function stop(
  app: App | undefined,
  others: readonly Running[],
  database: Database,
  redis: RedisClient,
): Promise<void> {
  // New requests are refused and running ones answered before what they need goes away.
  await app?.close();
  await Promise.all(others.map((other) => other.stop()));
  await database.close();
  redis.disconnect();
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}
