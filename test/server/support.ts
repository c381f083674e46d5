import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, inject as provided } from 'vitest';
import type { App } from '../../server/api/context.ts';
import { buildApp } from '../../server/api/app.ts';
import { issueAccessToken } from '../../platform/access.ts';
import { CacheReader } from '../../platform/cache/reader.ts';
import { readConfig, type Config } from '../../platform/config.ts';
import { createLog } from '../../platform/log.ts';
import { createMediaStore, type MediaStore } from '../../platform/media/store.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { hashPassword } from '../../platform/password.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { createRedis } from '../../platform/redis.ts';
import { compile, sql, type Sql } from '../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { commonRedisUrl, createTestDatabase } from '../support/services.ts';

export const PASSWORD = 'correct horse battery';

export type Caller = AccountFixture & { readonly token: string };
export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  // Tests look into answers; the routes' schemas and the OpenAPI test say what is in them.
  // oxlint-disable-next-line no-explicit-any
  readonly body: any;
};
type Ask = { body?: unknown; headers?: Record<string, string>; remoteAddress?: string };

export type TestApi = {
  readonly app: App;
  readonly config: Config;
  readonly database: Database;
  readonly redis: Redis;
  readonly cache: CacheReader;
  readonly metrics: Metrics;
  readonly media: MediaStore;
  /** As superuser: what the API's role may not do, and other writers. */
  readonly owner: Database;
  /** Texts of the statements the API has run since `statements.length = 0`, but for begin and commit. */
  readonly statements: string[];
  account(slug: string): Promise<Caller>;
  tokenOf(
    account: { accountId: number; userId: number },
    role?: readonly string[],
  ): Promise<string>;
  ask(
    caller: { token: string } | undefined,
    method: string,
    path: string,
    ask?: Ask,
  ): Promise<Answer>;
};

let spaces = 0;

/** The API on a database of its own, with everything it is in production but the sockets. Ends with the test file. */
export async function startTestApi(
  options: { redisUrl?: string; environment?: Record<string, string> } = {},
): Promise<TestApi> {
  const db = await createTestDatabase();
  const config = readConfig({
    DATABASE_URL: db.url,
    REDIS_URL: options.redisUrl ?? commonRedisUrl(),
    CLARIN_SECRET: 'a secret of the tests that is long enough',
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    CLARIN_REDIS_PREFIX: `t${process.pid}-${spaces++}`,
    MEDIA_DIR: join(provided('runDirectory'), 'media'),
    RATE_LIMIT_PER_MINUTE: '1000000',
    LOGIN_LIMIT_PER_MINUTE: '1000000',
    // Nobody listens there.
    KOMMO_URL: 'http://127.0.0.1:9/{subdomain}',
    ...options.environment,
  });
  const log = createLog({ component: 'api', level: process.env['TEST_LOG'] ?? 'silent' });
  const metrics = createMetrics('test');
  const statements: string[] = [];
  const connect = (url: string) =>
    createDatabase({ url, applicationName: 'test', max: 10, statementTimeoutMs: 10_000, log });
  const owner = connect(db.ownerUrl);
  const database = counting(connect(config.databaseUrl), statements);
  // One Redis: the tests' own.
  const redis = createRedis({ url: config.redisUrl, name: 'test-api', log }) as Redis;
  const cache = new CacheReader({ redis, space: { prefix: config.redisPrefix }, log, metrics });
  await redis.connect().catch(() => undefined);
  const media = await createMediaStore(config.media);
  const app = await buildApp({ config, database, cache, media, log, metrics, redis });
  afterAll(async () => {
    await app.close();
    redis.disconnect();
    await Promise.all([database.close(), owner.close()]);
    await db.drop();
  });

  const tokenOf: TestApi['tokenOf'] = async ({ accountId, userId }, role) => {
    const member = role === undefined ? userId : await createMember(owner, accountId, role);
    const [session] = await owner.query(sql`
      insert into public.sessions (account_id, user_id, expires_at)
      values (${accountId}, ${member}, now() + interval '30 days')
      returning id`);
    const claims = { sessionId: Number(session?.['id']), userId: member, accountId };
    return (await issueAccessToken(config.secret, claims, Date.now() / 1_000)).token;
  };
  return {
    app,
    config,
    database,
    redis,
    cache,
    metrics,
    media,
    owner,
    statements,
    tokenOf,
    account: async (slug) => {
      const fixture = await createAccount(owner, slug);
      return { ...fixture, token: await tokenOf(fixture) };
    },
    ask: (caller, method, path, ask) => inject(app, { ...ask, token: caller?.token, method, path }),
  };
}

type Injected = Ask & { token: string | undefined; method: string; path: string };

async function inject(
  app: App,
  { token, method, path, body, headers, remoteAddress }: Injected,
): Promise<Answer> {
  const answer = await app.inject({
    method: method as 'GET',
    url: path,
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    ...(body === undefined ? {} : { payload: body as object }),
    ...(remoteAddress === undefined ? {} : { remoteAddress }),
  });
  const isJson = String(answer.headers['content-type'] ?? '').startsWith('application/json');
  return {
    status: answer.statusCode,
    headers: answer.headers as Record<string, string | undefined>,
    text: answer.body,
    body: isJson && answer.body !== '' ? JSON.parse(answer.body) : undefined,
  };
}

function counting(database: Database, statements: string[]): Database {
  const note = (statement: Sql): void => void statements.push(compile(statement).text);
  return {
    ...database,
    query: (statement, options) => {
      note(statement);
      return database.query(statement, options);
    },
    transaction: (work, options) =>
      database.transaction(
        (tx) =>
          work({
            query: (statement, own) => {
              note(statement);
              return tx.query(statement, own);
            },
          }),
        options,
      ),
  };
}

let members = 0;

/** A member of the account with a role of these permissions; gives the user's id. */
async function createMember(
  owner: Database,
  accountId: number,
  permissions: readonly string[],
): Promise<number> {
  const name = `member-${process.pid}-${members++}`;
  const [user] = await owner.query(sql`
    with role as (
      insert into public.roles (account_id, name, permissions)
      values (${accountId}, ${name}, ${[...permissions]}::text[])
      returning id
    ),
    person as (
      insert into public.users (username, display_name, password_hash)
      values (${name}, ${name}, 'no password')
      returning id
    )
    insert into public.memberships (account_id, user_id, role_id)
    select ${accountId}, person.id, role.id from person cross join role
    returning user_id`);
  return Number(user?.['user_id']);
}

let passwordHash: Promise<string> | undefined;

/** Gives a fixture's user the PASSWORD; gives the username. */
export async function givePassword(owner: Database, userId: number): Promise<string> {
  passwordHash ??= hashPassword(PASSWORD);
  const [user] = await owner.query(sql`
    update public.users set password_hash = ${await passwordHash} where id = ${userId} returning username`);
  return user?.['username'] ?? '';
}

/** Status codes in ascending order: of concurrent requests nobody knows who is first. */
export function statusesOf(answers: readonly Answer[]): number[] {
  return answers.map(({ status }) => status).toSorted((left, right) => left - right);
}
