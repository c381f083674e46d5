import { Redis } from 'ioredis';
import { ClarinError } from '../domain/errors.ts';
import type { Log } from './log.ts';
import { cutWhenSilent } from './redis-silence.ts';

type Options = { url: string; name: string; log: Log; commandTimeoutMs?: number };

const COMMAND_TIMEOUT_MS = 1_000;
/** Longer than any command may take: one that is still being worked on is no silence. */
const SILENCE_BEYOND_COMMAND_MS = 2_000;

/**
 * A connection to Redis that never queues while it is down: readers bypass the cache, the replicator waits by
 * itself. Reconnects for as long as the process lives, every 50 ms to 1 s: there is nothing better to do without it.
 * One that no longer answers is cut.
 */
export function createRedis(options: Options): Redis {
  const commandTimeoutMs = options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS;
  const redis = new Redis(options.url, {
    connectionName: options.name,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2_000,
    enableAutoPipelining: true,
    retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    lazyConnect: true,
    autoResubscribe: false,
  });
  cutWhenSilent(redis, commandTimeoutMs + SILENCE_BEYOND_COMMAND_MS);
  let down = false;
  redis.on('error', (error: Error) => {
    if (!down) options.log.warn({ error }, 'Redis is not reachable');
    down = true;
  });
  redis.on('ready', () => {
    if (down) options.log.info('Redis is back');
    down = false;
  });
  return redis;
}

/**
 * Refuses a Redis that would lose what it is told: it must be 7 or newer (sharded channels) and must not evict.
 * @throws ClarinError `configuration` with a sentence that says what to do.
 */
export async function assertRedisFits(redis: Redis): Promise<void> {
  const info = await redis.info();
  const version = /^redis_version:(\d+)/m.exec(info)?.[1] ?? '0';
  if (Number(version) < 7) {
    throw new ClarinError(
      'configuration',
      `Redis ${version} is too old: Clarin needs Redis 7 or newer.`,
    );
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
  if (policy !== 'noeviction') throw redisEvicts(policy);
}

export function redisEvicts(policy = 'not noeviction'): ClarinError {
  return new ClarinError(
    'configuration',
    `Redis evicts (maxmemory-policy is ${policy}): run it with \`maxmemory-policy noeviction\`, or its cache fences vanish in silence.`,
  );
}

/** Identity of a Redis process: a new one after every restart. */
export async function readRunId(redis: Redis): Promise<string> {
  const info = await redis.info('server');
  const runId = /^run_id:(\S+)/m.exec(info)?.[1];
  if (!runId) throw new ClarinError('unavailable', 'Redis did not say its run id');
  return runId;
}
