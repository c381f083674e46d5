import type { Redis } from 'ioredis';
import type { AccountCommit } from '../../domain/change.ts';
import type { Keyspace } from '../../domain/cache-key.ts';
import { toLsn, type Lsn } from '../../domain/lsn.ts';
import { issueAccessToken } from '../../platform/access.ts';
import { AccountLog } from '../../platform/cache/account-log.ts';
import { ControlStore, type Mandate } from '../../platform/cache/control.ts';
import { CacheWriter } from '../../platform/cache/writer.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { startFeedServer, type FeedServerOptions } from '../../replicator/feed/feed-server.ts';
import { Hub } from '../../replicator/feed/hub.ts';
import { createAccount } from '../support/account-fixture.ts';
import { commonRedisUrl, createTestDatabase, type TestDatabase } from '../support/services.ts';
import { connectRedis, FeedClient, log, lsn } from './support.ts';

export const SECRET = 'a secret of at least thirty-two characters';

export type Login = {
  readonly accountId: number;
  readonly userId: number;
  readonly sessionId: number;
  /** A token for so many seconds, fifteen minutes when not said. */
  token(seconds?: number): Promise<string>;
};

/**
 * A feed on real Postgres and Redis. The test is the replicator: what it commits is applied to the log by the real
 * writer and handed to the hub, in that order.
 */
export type FeedWorld = {
  readonly database: TestDatabase;
  readonly db: Database;
  readonly redis: Redis;
  readonly space: Keyspace;
  readonly hub: Hub;
  readonly metrics: Metrics;
  readonly accountLog: AccountLog;
  readonly control: ControlStore;
  readonly port: number;
  readonly mandate: () => Mandate;
  /** A user of the account with a role of these permissions and a session. */
  login(accountId: number, permissions?: readonly string[]): Promise<Login>;
  account(slug: string): Promise<number>;
  client(headers?: Record<string, string>): FeedClient;
  /** A client that has said hello. */
  member(login: Login): Promise<FeedClient>;
  /** Applied, then delivered. */
  publish(commits: readonly AccountCommit[], position?: Lsn): Promise<void>;
  apply(commits: readonly AccountCommit[]): Promise<void>;
  openEpoch(base?: Lsn): Promise<void>;
  close(): Promise<void>;
};

type Options = Partial<FeedServerOptions> & { logBytesMax?: number; redisUrl?: string };

export async function openFeedWorld(options: Options = {}): Promise<FeedWorld> {
  const database = await createTestDatabase();
  const db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'feed',
    max: 5,
    statementTimeoutMs: 5_000,
    log,
  });
  const { redis, space } = await connectRedis(options.redisUrl ?? commonRedisUrl());
  const metrics = createMetrics('test');
  const hub = new Hub({ metrics, log });
  const accountLog = new AccountLog({ redis, space });
  const control = new ControlStore({ redis, space, log });
  const { logBytesMax, redisUrl: _redisUrl, ...server } = options;
  const writer = new CacheWriter({
    redis,
    space,
    metrics,
    ...(logBytesMax === undefined ? {} : { logBytesMax }),
  });
  let mandate: Mandate | undefined;
  const mustLead = (): Mandate => {
    if (!mandate) throw new Error('no epoch');
    return mandate;
  };
  const clients: FeedClient[] = [];
  const feed = await startFeedServer({
    host: '127.0.0.1',
    port: 0,
    hub,
    database: db,
    accountLog,
    secret: SECRET,
    log,
    metrics,
    health: () => ({ status: hub.epoch ? 'green' : 'red', checks: [] }),
    allowedOrigins: [],
    ...server,
  });
  const apply = async (commits: readonly AccountCommit[]): Promise<void> => {
    const ids = [...new Set(commits.map((commit) => commit.accountId))];
    const shares = ids.map((accountId) => ({
      accountId,
      commits: commits.filter((commit) => commit.accountId === accountId),
      invalidations: [],
    }));
    await writer.apply({ ...mustLead(), shares });
    const last = commits[commits.length - 1];
    if (last) await control.advance({ ...mustLead(), position: toLsn(last.lsn + 8n) });
  };
  const client = (headers?: Record<string, string>): FeedClient => {
    const made = new FeedClient(feed.port, headers);
    clients.push(made);
    return made;
  };
  const world: FeedWorld = {
    database,
    db,
    redis,
    space,
    hub,
    metrics,
    accountLog,
    control,
    port: feed.port,
    mandate: mustLead,
    login: (accountId, permissions = ['*']) => login(db, accountId, permissions),
    account: async (slug) => (await createAccount(db, slug)).accountId,
    client,
    member: async (who) => {
      const made = client();
      await made.hello(await who.token());
      return made;
    },
    apply,
    publish: async (commits, position) => {
      await apply(commits);
      const last = commits[commits.length - 1];
      hub.deliver(commits, position ?? toLsn((last?.lsn ?? 0n) + 8n));
    },
    openEpoch: async (base = lsn(1_000)) => {
      const term = await control.raiseTerm();
      const identity = { systemId: '1', timeline: 1, slot: 'test', publication: 'p' };
      mandate = { term, epoch: await control.openEpoch({ term, base, identity }) };
      hub.openEpoch(mandate.epoch, base);
    },
    close: async () => {
      for (const made of clients) made.close();
      await feed.stop();
      redis.disconnect();
      await db.close();
      await database.drop();
    },
  };
  await world.openEpoch();
  return world;
}

let users = 0;

async function login(
  db: Database,
  accountId: number,
  permissions: readonly string[],
): Promise<Login> {
  const name = `feed-${process.pid}-${++users}`;
  const [user] = await db.query(sql`
    insert into public.users (username, display_name, password_hash) values (${name}, ${name}, 'none') returning id`);
  const userId = Number(user?.['id']);
  await db.query(sql`
    with role as (
      insert into public.roles (account_id, name, permissions)
      values (${accountId}, ${name}, ${[...permissions]}::text[]) returning id)
    insert into public.memberships (account_id, user_id, role_id, is_default)
    select ${accountId}, ${userId}, id, true from role`);
  const [session] = await db.query(sql`
    insert into public.sessions (account_id, user_id, expires_at)
    values (${accountId}, ${userId}, now() + interval '1 day') returning id`);
  const sessionId = Number(session?.['id']);
  const token = async (seconds = 900): Promise<string> => {
    const nowSeconds = Date.now() / 1_000 - 900 + seconds;
    return (await issueAccessToken(SECRET, { sessionId, userId, accountId }, nowSeconds)).token;
  };
  return { accountId, userId, sessionId, token };
}
