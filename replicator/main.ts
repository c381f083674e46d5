import { ClarinError } from '../domain/errors.ts';
import { AccountLog } from '../platform/cache/account-log.ts';
import { ControlStore } from '../platform/cache/control.ts';
import { sleep } from '../platform/backoff.ts';
import type { Config } from '../platform/config.ts';
import type { Health } from '../platform/health.ts';
import type { Running } from '../platform/lifecycle.ts';
import type { Log } from '../platform/log.ts';
import { createMetrics, type Metrics } from '../platform/metrics.ts';
import { createDatabase, type Database } from '../platform/postgres.ts';
import { assertRedisFits, createRedis, type RedisClient } from '../platform/redis.ts';
import type { SlotStatus } from '../platform/replication-slot.ts';
import { startFeedServer } from './feed/feed-server.ts';
import { Hub } from './feed/hub.ts';
import { judgeReplicator } from './health.ts';
import { LeaderLoop } from './leader.ts';
import { SlotMonitor } from './lag.ts';
import { assertPostgresFits } from './postgres-fits.ts';
import { assertNoDrift } from './prepare.ts';
import type { UnsafeSeams } from './seams.ts';
import { VisibilityGate } from './visibility-gate.ts';

/** Heartbeat, gate, slot monitor and what prepares an epoch. */
const POOL_MAX = 4;
/** The feed asks who may listen: thousands at once after a restart, and nothing else may wait behind them. */
const FEED_POOL_MAX = 6;
const AGE_EVERY_MS = 1_000;
/** For one account's share of a batch: up to TRANSACTION_BYTES_MAX over a slow network. */
const APPLY_TIMEOUT_MS = 10_000;

export type ReplicatorOptions = {
  readonly seams?: UnsafeSeams;
  /** What ends the process: wedged, drifted, misconfigured. By default it is thrown where nobody catches it. */
  readonly onFatal?: (error: unknown) => void;
};

export type RunningReplicator = Running & {
  readonly feedPort: number;
  readonly metrics: Metrics;
  health(): Promise<Health>;
};

/**
 * Starts a replicator: checks everything it needs, serves feed, health and metrics, and then leads or waits to lead.
 * Resolves when the checks are passed and the port is open. @throws ClarinError `configuration`, `replication_drift`.
 */
export async function startReplicator(
  config: Config,
  log: Log,
  signal: AbortSignal,
  options: ReplicatorOptions = {},
): Promise<RunningReplicator> {
  const metrics = createMetrics('replicator');
  const db = createDatabase({
    url: config.replicationDatabaseUrl,
    applicationName: 'clarin replicator',
    max: POOL_MAX,
    statementTimeoutMs: config.statementTimeoutMs,
    log,
  });
  const feedDb = createDatabase({
    url: config.replicationDatabaseUrl,
    applicationName: 'clarin feed',
    max: FEED_POOL_MAX,
    statementTimeoutMs: config.statementTimeoutMs,
    log,
  });
  const redis = createRedis({ url: config.redisUrl, name: 'clarin-replicator', log });
  const writerRedis = createRedis({
    url: config.redisUrl,
    name: 'clarin-replicator-writer',
    log,
    commandTimeoutMs: APPLY_TIMEOUT_MS,
  });
  try {
    await Promise.all([redis.connect(), writerRedis.connect()]).catch((error: unknown) => {
      throw new ClarinError('unavailable', 'Redis is not reachable', { cause: error });
    });
    await assertRedisFits(redis);
    const database = await assertPostgresFits(db);
    await assertNoDrift({ db, publication: config.publication });
    signal.throwIfAborted();
    return await assemble({
      config,
      log,
      signal,
      options,
      metrics,
      db,
      feedDb,
      redis,
      writerRedis,
      database,
    });
  } catch (error) {
    redis.disconnect();
    writerRedis.disconnect();
    await Promise.all([db.close(), feedDb.close()]);
    throw error;
  }
}

type Assembly = {
  readonly config: Config;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly options: ReplicatorOptions;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly feedDb: Database;
  readonly redis: RedisClient;
  readonly writerRedis: RedisClient;
  readonly database: string;
};

async function assemble(assembly: Assembly): Promise<RunningReplicator> {
  const { config, log, signal, options, metrics, db, feedDb, redis, writerRedis, database } =
    assembly;
  const space = { prefix: config.redisPrefix };
  const stopping = new AbortController();
  const bounded = AbortSignal.any([signal, stopping.signal]);
  const hub = new Hub({ metrics, log: log.child({ component: 'feed' }) });
  const control = new ControlStore({ redis, space, log });
  const { slot, publication } = config;
  const common = {
    db,
    slot,
    metrics,
    log,
    control,
    hub,
    writerRedis,
    space,
    database,
    publication,
  };
  const gate = new VisibilityGate({ db, metrics });
  const loop = new LeaderLoop({
    ...common,
    gate,
    url: config.replicationDatabaseUrl,
    seams: options.seams ?? {},
  });
  const monitor = new SlotMonitor({ db, slot, metrics, log });
  const health = async (): Promise<Health> =>
    judgeReplicator({
      standing: await loop.standing(),
      slot: readSlotOrFailure(monitor),
      isRedisReachable: redis.status === 'ready',
    });
  const feed = await startFeedServer({
    host: config.host,
    port: config.feedPort,
    hub,
    database: feedDb,
    accountLog: new AccountLog({ redis, space }),
    secret: config.secret,
    log: log.child({ component: 'feed' }),
    metrics,
    health,
    allowedOrigins: config.allowedOrigins,
  });
  const onFatal = options.onFatal ?? throwUncaught;
  const isStopping = (): boolean => bounded.aborted;
  const tasks = [loop.run(bounded), monitor.run(bounded), exportAge(loop, metrics, bounded)].map(
    (task) =>
      task.catch((error: unknown) => {
        if (!isStopping()) onFatal(error);
      }),
  );
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort();
    await Promise.all(tasks);
    await feed.stop();
    redis.disconnect();
    writerRedis.disconnect();
    await Promise.all([db.close(), feedDb.close()]);
  };
  return { feedPort: feed.port, metrics, health, stop: () => (stopped ??= stop()) };
}

/** Straight to the process's handler for what nobody handled, which logs it once and exits by its code. */
function throwUncaught(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

function readSlotOrFailure(monitor: SlotMonitor): SlotStatus | undefined | Error {
  try {
    return monitor.read();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function exportAge(loop: LeaderLoop, metrics: Metrics, signal: AbortSignal): Promise<never> {
  for (;;) {
    const ageMs = loop.heartbeatAgeMs;
    if (ageMs !== undefined) metrics.heartbeatAgeSeconds.set(ageMs / 1_000);
    await sleep(AGE_EVERY_MS, signal);
  }
}
