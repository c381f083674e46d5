import { inject } from 'vitest';
import { cloneDatabase, type TestDatabase } from './databases.ts';
import {
  openPostgres,
  openRedis,
  type Ground,
  type TestPostgres,
  type TestRedis,
} from './servers.ts';

/**
 * Real Postgres and Redis for the tests. `global-setup.ts` has started them; a file takes
 * databases of its own from its worker's Postgres, and servers of its own where it stops, pauses or
 * reconfigures them.
 */
export type { TestDatabase } from './databases.ts';
export type { TestPostgres, TestRedis } from './servers.ts';
export { eventually } from './eventually.ts';

/** A database of one's own with all migrations applied, in the Postgres of this worker. */
export function createTestDatabase(): Promise<TestDatabase> {
  const servers = inject('postgresServers');
  // Vitest counts its workers from 1 on.
  const server = servers[(Number(process.env['VITEST_POOL_ID'] ?? 1) - 1) % servers.length];
  if (!server) throw new Error('global-setup.ts has started no Postgres');
  return cloneDatabase(server.url, server.template);
}

/**
 * The common Redis. Whoever uses it takes a space (CLARIN_REDIS_PREFIX) of his own and never
 * flushes.
 */
export function commonRedisUrl(): string {
  return inject('redisUrl');
}

const ground = (): Ground => ({
  postgres: inject('postgres'),
  redisBinary: inject('redisBinary'),
  directory: inject('runDirectory'),
});

/** A Redis of one's own, empty. The caller stops it. */
export function startRedis(settings: Record<string, string> = {}): Promise<TestRedis> {
  return openRedis(ground(), settings);
}

/**
 * A Postgres of one's own, for tests that restart, kill or reconfigure it. The caller removes it.
 */
export function startPostgres({
  conf = {},
}: { conf?: Record<string, string> } = {}): Promise<TestPostgres> {
  return openPostgres(ground(), conf);
}
