import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { spawnRole, type RunningRole } from '../test/support/spawn-role.ts';
import type { Cluster } from './cluster.ts';
import { PASSWORD } from './data/accounts.ts';
import type { Caller } from './traffic.ts';
import type { AccountWorld } from './world.ts';

export type BenchStack = {
  readonly api: RunningRole;
  /** Every account's administrator, logged in. */
  login(accounts: readonly AccountWorld[]): Promise<Caller[]>;
  stop(): Promise<void>;
};

/** Of every role: what they have by default, on this machine. */
export function settingsOf({ redis }: Cluster): Record<string, string> {
  return {
    REDIS_URL: redis.url,
    CLARIN_SECRET: 'bench'.repeat(8),
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    COOKIE_SECURE: 'false',
    MEDIA_DIR: join(tmpdir(), 'clarin-bench', 'media'),
    LOG_LEVEL: 'warn',
    RATE_LIMIT_PER_MINUTE: '10000000',
    LOGIN_LIMIT_PER_MINUTE: '1000000',
  };
}

/** The replicator and the API as processes of their own, with the settings they have by default. */
export async function startBenchStack(cluster: Cluster): Promise<BenchStack> {
  const { database } = cluster;
  const common = settingsOf(cluster);
  const own = (url: string) => ({ ...common, DATABASE_URL: url, REPLICATION_DATABASE_URL: url });
  const replicator = await spawnRole('replicator', own(database.logins.replicator));
  const api = await spawnRole('api', own(database.logins.api)).catch(async (error: unknown) => {
    await replicator.stop();
    throw error;
  });
  return {
    api,
    login: async (accounts) => {
      const callers: Caller[] = [];
      for (const account of accounts)
        callers.push({ ...account, token: await login(api.url, account.username) });
      return callers;
    },
    stop: async () => {
      await Promise.all([api.stop(), replicator.stop()]);
    },
  };
}

async function login(origin: string, username: string): Promise<string> {
  const answer = await fetch(`${origin}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password: PASSWORD }),
  });
  const body = (await answer.json()) as { token?: string };
  if (!body.token) throw new Error(`${username} cannot log in: ${answer.status}`);
  return body.token;
}
