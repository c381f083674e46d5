import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { hashPassword } from '../../../platform/password.ts';
import {
  createTestDatabase,
  eventually,
  startRedis,
  type TestDatabase,
  type TestPostgres,
  type TestRedis,
} from '../../support/services.ts';
import { spawnRole, type Role, type RunningRole } from '../../support/spawn-role.ts';

/** A tenant of the tests: one administrator, logged in. */
export type TestAccount = {
  readonly id: number;
  readonly userId: number;
  readonly username: string;
  token: string;
};

/** Rows as the driver gives them: only for statements of the tests themselves. */
export type SqlRow = Record<string, unknown>;

/** A whole Clarin: its processes, a database and a Redis of its own, two accounts, and a psql that may do anything. */
export type Stack = {
  readonly database: TestDatabase;
  readonly redis: TestRedis;
  readonly environment: Readonly<Record<string, string>>;
  readonly api: RunningRole;
  replicator: RunningRole;
  readonly accounts: readonly [TestAccount, TestAccount];
  /** As the owner, like somebody in psql. */
  sql(text: string, values?: readonly unknown[]): Promise<SqlRow[]>;
  /** Several statements on one connection, as one transaction. */
  transaction(statements: readonly string[], end?: 'commit' | 'rollback'): Promise<void>;
  /** `route` is method and path: `GET /api/leads`. */
  request(
    account: TestAccount,
    route: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  /** One more process of a role, stopped with the stack. */
  spawn(role: Role, more?: Record<string, string>): Promise<RunningRole>;
  /** Until what is committed now has come all the way. */
  settle(timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
};

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
};

const PASSWORD = 'a long enough password';
const SECRET = 'stack-tests-'.repeat(4);

type Options = {
  postgres?: TestPostgres;
  /** Instead of a Redis of its own. Stopped with the stack. */
  redis?: TestRedis;
  more?: Record<string, string>;
  /** Runs on the database before any process of ours connects. */
  prepare?: (sql: Sql, database: TestDatabase) => Promise<void>;
  /** Another copy of the program than this checkout's. */
  program?: string;
};

/** Starts api and replicator and waits until the feed is live. The caller closes it. */
export async function startStack({
  postgres,
  redis: given,
  more = {},
  prepare,
  program,
}: Options = {}): Promise<Stack> {
  const database = await (postgres ? postgres.createDatabase() : createTestDatabase());
  const redis = given ?? (await startRedis());
  const environment: Record<string, string> = {
    DATABASE_URL: database.url,
    REPLICATION_DATABASE_URL: database.replicationUrl,
    MIGRATE_DATABASE_URL: database.ownerUrl,
    REDIS_URL: redis.url,
    CLARIN_SECRET: SECRET,
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    COOKIE_SECURE: 'false',
    MEDIA_DIR: join(inject('runDirectory'), 'media'),
    LOG_LEVEL: 'info',
    RATE_LIMIT_PER_MINUTE: '1000000',
    LOGIN_LIMIT_PER_MINUTE: '1000000',
    ...more,
  };
  const pool = new pg.Pool({ connectionString: database.ownerUrl, max: 8 });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const sql = async (text: string, values: readonly unknown[] = []): Promise<SqlRow[]> =>
    (await pool.query<SqlRow>(text, [...values])).rows;
  await prepare?.(sql, database);
  const extra: RunningRole[] = [];
  const ids = [await createAccount(sql, 'one'), await createAccount(sql, 'two')];
  const copy = program === undefined ? {} : { program };
  const [replicator, api] = await Promise.all([
    spawnRole('replicator', environment, copy),
    spawnRole('api', environment, { until: 'live', ...copy }),
  ]);
  await api.waitUntil('ready');
  const request: Stack['request'] = async (account, route, body, headers = {}) => {
    const [method = '', path = ''] = route.split(' ');
    const answer = await fetch(`${api.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${account.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = (answer.headers.get('content-type') ?? '').includes('json');
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
    };
  };
  const accounts = await Promise.all(ids.map((one) => login(api.url, one)));
  const [first, second] = accounts;
  if (!first || !second) throw new Error('no accounts');
  const stack: Stack = {
    database,
    redis,
    environment,
    api,
    replicator,
    accounts: [first, second],
    sql,
    transaction: async (statements, end = 'commit') => {
      const client = await pool.connect();
      try {
        await client.query('begin');
        for (const statement of statements) await client.query(statement);
        await client.query(end);
        client.release();
      } catch (error) {
        // Its transaction is still open: nobody else must get it.
        client.release(true);
        throw error;
      }
    },
    request,
    spawn: async (role, own = {}) => {
      const running = await spawnRole(role, { ...environment, ...own }, { until: 'live' });
      extra.push(running);
      return running;
    },
    settle: async (timeoutMs = 30_000) => {
      const rows = await sql('select pg_current_wal_insert_lsn() as lsn');
      const minCommit = String(rows[0]?.['lsn']);
      const check = async (): Promise<boolean> => {
        const answer = await request(first, 'GET /api/tags', undefined, {
          'clarin-min-commit': minCommit,
        });
        return ['hit', 'miss'].includes(answer.headers.get('clarin-cache') ?? '');
      };
      await eventually(check, { timeoutMs, says: `the position passes ${minCommit}` });
    },
    close: async () => {
      for (const running of [...extra, stack.replicator, api]) await running.stop();
      await pool.end();
      await redis.stop();
      await database.drop();
    },
  };
  return stack;
}

type Sql = (text: string, values?: readonly unknown[]) => Promise<SqlRow[]>;

async function createAccount(sql: Sql, name: string): Promise<Omit<TestAccount, 'token'>> {
  const [account] = await sql('insert into accounts (name, slug) values ($1, $2) returning id', [
    name,
    `account-${name}`,
  ]);
  const id = Number(account?.['id']);
  await sql('select clarin.seed_account_defaults($1)', [id]);
  const username = `admin-${name}`;
  const [user] = await sql(
    'insert into users (username, password_hash, display_name) values ($1, $2, $3) returning id',
    [username, await hashPassword(PASSWORD), `Admin ${name}`],
  );
  const userId = Number(user?.['id']);
  await sql(
    `insert into memberships (account_id, user_id, role_id, is_default)
     select $1, $2, id, true from roles where account_id = $1 and name = 'Administrator'`,
    [id, userId],
  );
  return { id, userId, username };
}

async function login(url: string, account: Omit<TestAccount, 'token'>): Promise<TestAccount> {
  const answer = await fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: account.username, password: PASSWORD }),
  });
  const body = (await answer.json()) as { token?: string };
  if (!body.token) throw new Error(`login answered ${answer.status} ${JSON.stringify(body)}`);
  return { ...account, token: body.token };
}

/** `count` contacts and leads in an account, by SQL. */
export async function addLeads(
  stack: Stack,
  account: TestAccount,
  count: number,
): Promise<number[]> {
  const rows = await stack.sql(
    `with people as (
       insert into contacts (account_id, name, phone)
       select $1, 'Person ' || n, '5199' || lpad(n::text, 7, '0') from generate_series(1, $2::int) as n
       returning id, name
     )
     insert into leads (account_id, contact_id, title)
     select $1, id, 'Lead of ' || name from people returning id`,
    [account.id, count],
  );
  return rows.map((row) => Number(row['id']));
}
