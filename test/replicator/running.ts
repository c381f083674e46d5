import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { AccountCommit } from '../../domain/change.ts';
import { LSN_ZERO, type Lsn } from '../../domain/lsn.ts';
import { AccountLog } from '../../platform/cache/account-log.ts';
import { ControlStore } from '../../platform/cache/control.ts';
import { readConfig, type Config } from '../../platform/config.ts';
import { createRedis } from '../../platform/redis.ts';
import { startReplicator, type RunningReplicator } from '../../replicator/main.ts';
import type { UnsafeSeams } from '../../replicator/seams.ts';
import { commonRedisUrl, eventually, type TestDatabase } from '../support/services.ts';
import { connect, log, one } from './support.ts';

/** A database, a space in Redis, and what a test looks at: the accounts' logs are what has been applied. */
export type World = {
  readonly database: TestDatabase;
  readonly client: pg.Client;
  readonly config: Config;
  readonly control: ControlStore;
  createAccount(slug: string): Promise<number>;
  /** Commits in the account's log, in order. */
  readLog(account: number): Promise<AccountCommit[]>;
  /** Names of the tags in the account's log, in order. */
  readNames(account: number): Promise<string[]>;
  start(options?: { seams?: UnsafeSeams }): Promise<Started>;
  close(): Promise<void>;
};

export type Started = RunningReplicator & {
  readonly fatal: Promise<unknown>;
  isLeading(): Promise<boolean>;
};

export async function createWorld(
  database: TestDatabase,
  redisUrl = commonRedisUrl(),
): Promise<World> {
  const config = readConfig({
    DATABASE_URL: database.url,
    REPLICATION_DATABASE_URL: database.replicationUrl,
    REDIS_URL: redisUrl,
    CLARIN_SECRET: 'replicator-tests-'.repeat(3),
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    CLARIN_REDIS_PREFIX: `t${randomBytes(6).toString('hex')}`,
    FEED_PORT: '0',
    MEDIA_DIR: '/nonexistent',
  });
  const client = await connect(database.ownerUrl);
  const redis = createRedis({ url: redisUrl, name: 'test', log });
  await redis.connect();
  const space = { prefix: config.redisPrefix };
  const control = new ControlStore({ redis, space, log });
  const accountLog = new AccountLog({ redis, space });
  const running = new Set<RunningReplicator>();

  const readLog = async (accountId: number): Promise<AccountCommit[]> => {
    const state = await control.readControl();
    if (!state) return [];
    const commits: AccountCommit[] = [];
    const { id: epoch, base: after } = state.epoch;
    for await (const commit of accountLog.read({ accountId, epoch, after })) commits.push(commit);
    return commits;
  };

  return {
    database,
    client,
    config,
    control,
    createAccount: async (slug) => {
      const row = await one(
        client,
        'insert into accounts (name, slug) values ($1, $1) returning id',
        [slug],
      );
      return Number(row['id']);
    },
    readLog,
    readNames: async (account) => {
      const changes = (await readLog(account)).flatMap((commit) => commit.changes);
      const tags = changes.filter((change) => change.table === 'tags');
      return tags.map(
        (change) => (JSON.parse(change.json) as { row?: { name: string } }).row?.name ?? change.op,
      );
    },
    start: async ({ seams = {} } = {}) => {
      let onFatal: (error: unknown) => void = () => undefined;
      const fatal = new Promise<unknown>((resolve) => (onFatal = resolve));
      const started = await startReplicator(config, log, new AbortController().signal, {
        seams,
        onFatal,
      });
      running.add(started);
      const isLeading = async (): Promise<boolean> =>
        (await started.health()).checks.some(
          (check) => check.name === 'leadership' && check.says === 'leader',
        );
      return { ...started, fatal, isLeading };
    },
    close: async () => {
      await Promise.all([...running].map((one) => one.stop()));
      redis.disconnect();
      await client.end();
      await database.drop();
    },
  };
}

export const isGreen = async (replicator: RunningReplicator): Promise<boolean> =>
  (await replicator.health()).status === 'green';

/**
 * Until health is green: the stream runs and heartbeats come back. A new slot waits for every transaction of its server.
 */
export async function untilGreen(replicator: RunningReplicator, timeoutMs = 45_000): Promise<void> {
  await eventually(() => isGreen(replicator), { says: 'health is green', timeoutMs });
}

export async function readPosition(world: World): Promise<Lsn> {
  return (await world.control.readControl())?.position ?? LSN_ZERO;
}

export const insertTag = (client: pg.Client, account: number, name: string): Promise<unknown> =>
  client.query('insert into tags (account_id, name) values ($1, $2)', [account, name]);
