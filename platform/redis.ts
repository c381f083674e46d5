import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { ClarinError } from '../domain/errors.ts';
import type { Log } from './log.ts';
import { createCluster, infoOfMasters, isClusterUrl } from './redis-cluster.ts';
import { cutWhenSilent } from './redis-silence.ts';

/** One Redis, or a Cluster: whoever uses it names keys, and all keys of one command are in one slot. */
export type RedisClient = Redis | Cluster;

type Options = { url: string; name: string; log: Log; commandTimeoutMs?: number };

const COMMAND_TIMEOUT_MS = 1_000;
/** Longer than any command may take: one that is still being worked on is no silence. */
const SILENCE_BEYOND_COMMAND_MS = 2_000;

/**
 * A connection to Redis that never queues while it is down: readers bypass the cache, the replicator waits by
 * itself. Reconnects for as long as the process lives, every 50 ms to 1 s: there is nothing better to do without it.
 * One that no longer answers is cut.
 */
export function createRedis(options: Options): RedisClient {
  const commandTimeoutMs = options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS;
  const silenceMs = commandTimeoutMs + SILENCE_BEYOND_COMMAND_MS;
  const common: RedisOptions = {
    connectionName: options.name,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2_000,
    autoResubscribe: false,
  };
  if (isClusterUrl(options.url)) {
    const cluster = createCluster(options.url, common);
    cluster.on('+node', (node: Redis) => cutWhenSilent(node, silenceMs));
    return logged(cluster, options.log);
  }
  const redis = new Redis(options.url, {
    ...common,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    lazyConnect: true,
  });
  cutWhenSilent(redis, silenceMs);
  return logged(redis, options.log);
}

function logged<T extends RedisClient>(redis: T, log: Log): T {
  let down = false;
  redis.on('error', (error: Error) => {
    if (!down) log.warn({ error }, 'Redis is not reachable');
    down = true;
  });
  redis.on('ready', () => {
    if (down) log.info('Redis is back');
    down = false;
  });
  return redis;
}

/** INFO of the Redis, or of every node of a Cluster that holds slots. @throws as infoOfMasters. */
export async function infoOfAll(redis: RedisClient): Promise<string[]> {
  return redis instanceof Cluster ? infoOfMasters(redis) : [await redis.info()];
}

/**
 * Refuses a Redis that would lose what it is told: it must be 7 or newer (sharded channels) and must not evict.
 * @throws ClarinError `configuration` with a sentence that says what to do.
 */
export async function assertRedisFits(redis: RedisClient): Promise<void> {
  for (const info of await infoOfAll(redis)) {
    const version = /^redis_version:(\d+)/m.exec(info)?.[1] ?? '0';
    if (Number(version) < 7) {
      throw new ClarinError(
        'configuration',
        `Redis ${version} is too old: Clarin needs Redis 7 or newer.`,
      );
    }
    if (!(redis instanceof Cluster) && /^redis_mode:cluster/m.test(info)) {
      throw new ClarinError(
        'configuration',
        'REDIS_URL names one node of a Cluster: name several, comma-separated, or end it with `?cluster=true`.',
      );
    }
    const policy = policyOf(info);
    if (policy !== 'noeviction') throw redisEvicts(policy);
  }
}

function policyOf(info: string): string {
  return /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
}

export function redisEvicts(policy = 'not noeviction'): ClarinError {
  return new ClarinError(
    'configuration',
    `Redis evicts (maxmemory-policy is ${policy}): run it with \`maxmemory-policy noeviction\`, or its cache fences vanish in silence.`,
  );
}

/**
 * Identity of a Redis: its process' run id, a new one after every restart. Of a Cluster: those of all nodes that hold
 * slots, and how many keys each has evicted: whatever changes of it, something may be lost.
 * @throws ClarinError `configuration` when a node of a Cluster has been told to evict.
 */
export async function readRunId(redis: RedisClient): Promise<string> {
  if (!(redis instanceof Cluster)) return runIdOf(await redis.info('server'));
  const infos = await infoOfMasters(redis);
  for (const info of infos) {
    if (policyOf(info) !== 'noeviction') throw redisEvicts(policyOf(info));
  }
  return infos
    .map((info) => `${runIdOf(info)}/${evictedOf(info)}`)
    .sort()
    .join(' ');
}

/** How many keys it has evicted since it was started, as INFO says. */
export function evictedOf(info: string): string {
  return /^evicted_keys:(\d+)/m.exec(info)?.[1] ?? '0';
}

function runIdOf(info: string): string {
  const runId = /^run_id:(\S+)/m.exec(info)?.[1];
  if (!runId) throw new ClarinError('unavailable', 'Redis did not say its run id');
  return runId;
}
