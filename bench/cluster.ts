import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureLogins, type Logins } from '../bin/dev/services.ts';
import { migrate } from '../migrations/run.ts';
import { createLog } from '../platform/log.ts';
import { connectClient, queryClient, type Queries } from '../platform/postgres.ts';
import {
  startEmbeddedPostgres,
  type PostgresOptions,
} from '../platform/services/embedded-postgres.ts';
import { findFreePort } from '../platform/services/ports.ts';
import { findPostgresBinaries } from '../platform/services/postgres-binaries.ts';
import { findRedis } from '../platform/services/redis-binary.ts';
import { startRedisServer, type RunningRedis } from '../platform/services/redis-server.ts';
import { canEnter, findServiceUser } from '../platform/services/service-user.ts';
import { startWatchdog } from '../platform/services/watchdog.ts';
import { ident, sql } from '../platform/sql.ts';

/** Where a data directory may be that root's Postgres, who is somebody else, can enter too. */
const PARENTS = [tmpdir(), '/var/tmp'];
const TEMPLATE_PREFIX = 'clarin_bench_';
/** Loading needs to survive nothing: what breaks off is loaded again. */
const LOADING = {
  fsync: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  max_wal_size: '8GB',
  maintenance_work_mem: '512MB',
  work_mem: '256MB',
  max_parallel_maintenance_workers: '2',
};

export type Database = {
  /** As the owner. */
  readonly url: string;
  readonly logins: Logins;
};

export type Cluster = {
  readonly database: Database;
  readonly redis: RunningRedis;
  stop(): Promise<void>;
};

type Wanted = {
  /** Whatever decides what the data are, besides the schema and the files of this folder. */
  readonly key: string;
  readonly load: (db: Queries) => Promise<void>;
  readonly say: (line: string) => void;
};

/**
 * Postgres as postgres.conf has it, with a fresh copy of the wanted data, and an empty Redis. Data
 * that were loaded before are kept below a temporary directory, by schema, generator and `key`.
 */
export async function startCluster(wanted: Wanted): Promise<Cluster> {
  const user = await findServiceUser();
  const directory = await makeDirectory(user);
  const binaries = await findPostgresBinaries({
    given: process.env['PG_BIN'] || undefined,
    cacheDirectory: directory,
    user,
  });
  const options: PostgresOptions = {
    binaries,
    user,
    directory: join(directory, `postgres-${binaries.major}`),
    port: await findFreePort(),
    password: undefined,
    conf: await readFile(new URL('../postgres.conf', import.meta.url), 'utf8'),
    logFile: join(directory, 'postgres.log'),
  };
  const template = await loadOnce(options, wanted);
  const postgres = await startEmbeddedPostgres(options);
  const redis = await startOwnRedis(directory);
  const watchdog = startWatchdog([
    { pid: postgres.pid, signal: 'INT' },
    { pid: redis.pid, signal: 'TERM' },
  ]);
  const database = await copyTemplate(postgres.url, template);
  return {
    database,
    redis,
    stop: async () => {
      await redis.stop();
      await dropDatabase(postgres.url, nameOf(database.url));
      await postgres.stop('fast');
      watchdog.dismiss();
    },
  };
}

async function makeDirectory(user: PostgresOptions['user']): Promise<string> {
  for (const parent of PARENTS) {
    if (!(await canEnter(parent, user))) continue;
    const directory = join(parent, 'clarin-bench');
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o755);
    return directory;
  }
  throw new Error(`Postgres' user can enter none of ${PARENTS.join(', ')}`);
}

async function startOwnRedis(directory: string): Promise<RunningRedis> {
  return startRedisServer({
    binary: await findRedis({ environment: process.env, cacheDirectory: directory }),
    port: await findFreePort(),
    directory: join(directory, 'redis'),
    password: undefined,
    logFile: join(directory, 'redis.log'),
  });
}

/** Named by what is in it: by schema and generator first, by seed and scale behind. */
async function templateName(key: string): Promise<string> {
  const digest = createHash('sha256');
  for (const folder of ['../migrations/', './data/']) {
    const directory = new URL(folder, import.meta.url);
    for (const name of (await readdir(directory)).toSorted()) {
      if (/\.(sql|ts)$/.test(name)) digest.update(await readFile(new URL(name, directory)));
    }
  }
  const data = createHash('sha256').update(key).digest('hex').slice(0, 8);
  return `${TEMPLATE_PREFIX}${digest.digest('hex').slice(0, 8)}_${data}`;
}

/** Complete or not there: loaded under another name and renamed. Gives its name. */
async function loadOnce(options: PostgresOptions, { key, load, say }: Wanted): Promise<string> {
  const template = await templateName(key);
  const server = await startEmbeddedPostgres({ ...options, settings: LOADING });
  const watchdog = startWatchdog([{ pid: server.pid, signal: 'INT' }]);
  try {
    const known = await withClient(server.url, (db) =>
      db.query(sql`select datname from pg_database where starts_with(datname, ${TEMPLATE_PREFIX})`),
    );
    const names = known.map((row) => row['datname'] ?? '');
    if (names.includes(template)) {
      say(`data of an earlier run: ${template}`);
      return template;
    }
    // What broke off, and the data of schemas gone by: each would be gigabytes. A small and a large one stay side by side.
    const isKept = (name: string): boolean =>
      name.startsWith(template.slice(0, -8)) && !/_(new|run)$/.test(name);
    for (const name of names.filter((each) => !isKept(each))) await dropDatabase(server.url, name);
    const loading = `${template}_new`;
    const startedAt = performance.now();
    await withClient(server.url, (db) => db.query(sql`create database ${ident(loading)}`));
    const url = withDatabase(server.url, loading);
    await migrate({
      url,
      log: createLog({ component: 'migrate', level: 'warn' }),
      publication: 'clarin',
    });
    await withClient(url, load);
    await withClient(server.url, (db) =>
      db.query(sql`alter database ${ident(loading)} rename to ${ident(template)}`),
    );
    say(`loaded ${template} in ${Math.round((performance.now() - startedAt) / 1_000)} s`);
    return template;
  } finally {
    await server.stop('fast');
    watchdog.dismiss();
  }
}

async function copyTemplate(maintenanceUrl: string, template: string): Promise<Database> {
  const name = `${template}_${randomBytes(3).toString('hex')}_run`;
  await withClient(maintenanceUrl, (db) =>
    // Page by page through the log would write everything twice.
    db.query(sql`create database ${ident(name)} template ${ident(template)} strategy file_copy`),
  );
  const url = withDatabase(maintenanceUrl, name);
  const secrets = {
    owner: '',
    redis: '',
    token: '',
    encryption: '',
    api: '0a',
    ingest: '0b',
    replicator: '0c',
  };
  return { url, logins: await ensureLogins(url, secrets) };
}

async function dropDatabase(maintenanceUrl: string, name: string): Promise<void> {
  await withClient(maintenanceUrl, async (db) => {
    await db.query(sql`
      select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = ${name} and not active`);
    await db.query(sql`drop database if exists ${ident(name)} with (force)`);
  });
}

/** One session as the owner. */
export async function withClient<T>(url: string, work: (db: Queries) => Promise<T>): Promise<T> {
  const client = await connectClient({ url, applicationName: 'clarin bench' });
  try {
    return await work({ query: (statement) => queryClient(client, statement) });
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

function nameOf(url: string): string {
  return new URL(url).pathname.slice(1);
}
