import { FEED_VERSION } from '../../domain/feed-protocol.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { makeApiKey } from '../../platform/api-key.ts';
import { issueAccessToken } from '../../platform/access.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { startGateway } from '../../replicator/feed/gateway.ts';
import { createWorld, untilGreen } from '../replicator/running.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { createTestDatabase } from '../support/services.ts';
import { FeedClient, log } from './support.ts';

type Member = { readonly accountId: number; readonly userId: number; readonly roleId: number };

/** The replicator's own, or one that is fed from Redis. */
export type FeedServerName = 'replicator' | 'gateway';

/** The feed of a real replicator: what SQL writes comes back through the write-ahead log, and by no other way. */
export type LiveWorld = {
  readonly db: Database;
  account(slug: string): Promise<AccountFixture>;
  /** A member with a role of these permissions and devices, null for all. */
  member(
    accountId: number,
    permissions: readonly string[],
    deviceIds?: readonly number[] | null,
  ): Promise<Member>;
  token(member: Member): Promise<string>;
  /** A key of the member's; gives its id and itself. */
  key(member: Member, permissions: readonly string[]): Promise<{ id: number; key: string }>;
  client(token: string, server?: FeedServerName): Promise<FeedClient>;
  /** The code with which whoever says hello with this is closed. */
  refusalOf(token: string, server?: FeedServerName): Promise<number>;
  /** Runs statements in one transaction. */
  run(...statements: readonly Sql[]): Promise<void>;
  close(): Promise<void>;
};

export async function openLiveWorld({ hasGateway = false } = {}): Promise<LiveWorld> {
  const database = await createTestDatabase();
  const replicating = await createWorld(database);
  const replicator = await replicating.start();
  await untilGreen(replicator);
  const gateway = hasGateway
    ? await startGateway(
        { ...replicating.config, gatewayPort: 0 },
        log,
        new AbortController().signal,
      )
    : undefined;
  const db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'test',
    max: 3,
    statementTimeoutMs: 5_000,
    log,
  });
  const clients: FeedClient[] = [];
  const connect = (server: FeedServerName = 'replicator'): FeedClient => {
    const port = server === 'gateway' ? gateway?.port : replicator.feedPort;
    const client = new FeedClient(port ?? 0);
    clients.push(client);
    return client;
  };
  let members = 0;
  return {
    db,
    account: (slug) => createAccount(db, slug),
    member: async (accountId, permissions, deviceIds = null) => {
      const name = `live-${++members}`;
      const [row] = await db.query(sql`
        with role as (
          insert into public.roles (account_id, name, permissions, device_ids)
          values (${accountId}, ${name}, ${[...permissions]}::text[], ${deviceIds && [...deviceIds]}::bigint[])
          returning id
        ), person as (
          insert into public.users (username, display_name, password_hash) values (${name}, ${name}, '-')
          returning id
        )
        insert into public.memberships (account_id, user_id, role_id)
        select ${accountId}, person.id, role.id from person cross join role
        returning user_id, role_id`);
      return { accountId, userId: Number(row?.['user_id']), roleId: Number(row?.['role_id']) };
    },
    token: async ({ accountId, userId }) => {
      const [row] = await db.query(sql`
        insert into public.sessions (account_id, user_id, expires_at)
        values (${accountId}, ${userId}, now() + interval '1 day') returning id`);
      const session = { accountId, userId, sessionId: Number(row?.['id']) };
      const { secret } = replicating.config;
      return (await issueAccessToken(secret, session, Date.now() / 1_000)).token;
    },
    key: async ({ accountId, userId }, permissions) => {
      const { key, prefix, digest } = makeApiKey();
      const [row] = await db.query(sql`
        insert into public.api_keys (account_id, user_id, name, prefix, key_hash, permissions)
        values (${accountId}, ${userId}, 'Robot', ${prefix}, decode(${digest}, 'hex'), ${[...permissions]}::text[])
        returning id`);
      return { id: Number(row?.['id']), key };
    },
    client: async (token, server) => {
      const client = connect(server);
      await client.hello(token);
      return client;
    },
    refusalOf: async (token, server) => {
      const client = await connect(server).opened();
      client.send({ type: 'hello', version: FEED_VERSION, token });
      return client.closeCode();
    },
    run: async (...statements) => {
      await db.transaction(async (tx) => {
        for (const statement of statements) await tx.query(statement);
      });
    },
    close: async () => {
      for (const client of clients) client.close();
      await gateway?.stop();
      await db.close();
      await replicating.close();
    },
  };
}
