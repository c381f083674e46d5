import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { issueAccessToken } from '../../../platform/access.ts';
import { startEmbeddedPostgres } from '../../../platform/services/embedded-postgres.ts';
import { findFreePort } from '../../../platform/services/ports.ts';
import { findPostgresBinaries } from '../../../platform/services/postgres-binaries.ts';
import { findRedis } from '../../../platform/services/redis-binary.ts';
import { startRedisServer, type RunningRedis } from '../../../platform/services/redis-server.ts';
import { canEnter, findServiceUser } from '../../../platform/services/service-user.ts';
import { startWatchdog } from '../../../platform/services/watchdog.ts';
import { cloneDatabase, prepareTemplate } from '../../support/databases.ts';
import { spawnRole, type Role, type RunningRole } from '../../support/spawn-role.ts';

const SECRET = 'soak-scenarios-'.repeat(3);

export type Account = { readonly id: number; readonly token: string };
export type SqlRow = Record<string, unknown>;

/** Postgres as postgres.conf has it, a Redis, and processes of ours, all of this scenario's own. */
export type Stand = {
  readonly redis: RunningRedis;
  readonly api: RunningRole;
  readonly replicator: RunningRole;
  /** What its processes are started with. */
  readonly environment: Readonly<Record<string, string>>;
  /** Superuser of its database. */
  readonly ownerUrl: string;
  sql(text: string, values?: readonly unknown[]): Promise<SqlRow[]>;
  /** A tenant with a member who may do everything, logged in for as long as a scenario takes. */
  account(slug: string): Promise<Account>;
  spawn(role: Role, more?: Record<string, string>): Promise<RunningRole>;
  close(): Promise<void>;
};

/** Everything is ready when this resolves. The caller closes it. */
export async function openStand(more: Record<string, string> = {}): Promise<Stand> {
  const services = await startServices();
  const database = await cloneDatabase(services.url, await prepareTemplate(services.url));
  const environment = {
    DATABASE_URL: database.url,
    REPLICATION_DATABASE_URL: database.replicationUrl,
    REDIS_URL: services.redis.url,
    CLARIN_SECRET: SECRET,
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    COOKIE_SECURE: 'false',
    MEDIA_DIR: join(services.directory, 'media'),
    LOG_LEVEL: 'warn',
    RATE_LIMIT_PER_MINUTE: '10000000',
    ...more,
  };
  const pool = new pg.Pool({ connectionString: database.ownerUrl, max: 12 });
  pool.on('error', () => undefined);
  const roles: RunningRole[] = [];
  const spawn = async (role: Role, own: Record<string, string> = {}): Promise<RunningRole> => {
    const running = await spawnRole(role, { ...environment, ...own });
    roles.push(running);
    return running;
  };
  const close = async (): Promise<void> => {
    await Promise.all(roles.map((role) => role.stop()));
    await pool.end();
    await services.stop();
  };
  try {
    const replicator = await spawn('replicator');
    const api = await spawn('api');
    const sql: Stand['sql'] = async (text, values = []) =>
      (await pool.query<SqlRow>(text, [...values])).rows;
    return {
      redis: services.redis,
      api,
      replicator,
      environment,
      ownerUrl: database.ownerUrl,
      sql,
      account: (slug) => createAccount(sql, slug),
      spawn,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startServices() {
  const user = await findServiceUser();
  const parents = [tmpdir(), '/var/tmp'];
  let directory: string | undefined;
  for (const parent of parents)
    if (directory === undefined && (await canEnter(parent, user)))
      directory = await mkdtemp(join(parent, 'clarin-scenario-'));
  if (directory === undefined)
    throw new Error(`Postgres' user can enter none of ${parents.join(', ')}`);
  await chmod(directory, 0o755);
  const binaries = await findPostgresBinaries({
    given: process.env['PG_BIN'] || undefined,
    cacheDirectory: directory,
    user,
  });
  const postgres = await startEmbeddedPostgres({
    binaries,
    user,
    directory: join(directory, 'postgres'),
    port: await findFreePort(),
    password: undefined,
    conf: await readFile(new URL('../../../postgres.conf', import.meta.url), 'utf8'),
    logFile: join(directory, 'postgres.log'),
  });
  const redis = await startRedisServer({
    binary: await findRedis({ environment: process.env, cacheDirectory: directory }),
    port: await findFreePort(),
    directory: join(directory, 'redis'),
    password: undefined,
    logFile: join(directory, 'redis.log'),
  });
  const watchdog = startWatchdog([
    { pid: postgres.pid, signal: 'INT' },
    { pid: redis.pid, signal: 'TERM' },
  ]);
  return {
    url: postgres.url,
    redis,
    directory,
    stop: async () => {
      await redis.stop();
      await postgres.stop('immediate');
      watchdog.dismiss();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function createAccount(sql: Stand['sql'], slug: string): Promise<Account> {
  const [row] = await sql(
    `with account as (insert into accounts (name, slug) values ($1, $1) returning id),
       role as (insert into roles (account_id, name, permissions) select id, 'All', '{*}' from account returning account_id, id),
       person as (insert into users (username, display_name, password_hash) values ($1, $1, '-') returning id),
       member as (insert into memberships (account_id, user_id, role_id, is_default)
         select role.account_id, person.id, role.id, true from role cross join person)
     select role.account_id, person.id as user_id from role cross join person`,
    [slug],
  );
  const [accountId, userId] = [Number(row?.['account_id']), Number(row?.['user_id'])];
  const [session] = await sql(
    `insert into sessions (account_id, user_id, expires_at) values ($1, $2, now() + interval '1 day') returning id`,
    [accountId, userId],
  );
  // As if logged in later: scenarios take longer than a token lives.
  const LATER_SECONDS = 12 * 3_600;
  const claims = { sessionId: Number(session?.['id']), userId, accountId };
  const { token } = await issueAccessToken(SECRET, claims, Date.now() / 1_000 + LATER_SECONDS);
  return { id: accountId, token };
}
