import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import {
  startEmbeddedPostgres,
  type RunningPostgres,
} from '../../platform/services/embedded-postgres.ts';
import { choosePort } from '../../platform/services/ports.ts';
import { findPostgresBinaries } from '../../platform/services/postgres-binaries.ts';
import type { ServiceUser } from '../../platform/services/processes.ts';
import { findRedis } from '../../platform/services/redis-binary.ts';
import { startRedisServer, type RunningRedis } from '../../platform/services/redis-server.ts';
import { CHECKOUT, type Secrets } from './data-directory.ts';
import type { DevSettings } from './settings.ts';

/** Kept while they are free, so that a bookmark or a psql history stays right. */
const POSTGRES_PORT = 54_329;
const REDIS_PORT = 63_790;
const DATABASE = 'clarin';
const HOST = '127.0.0.1';

export type Place = {
  readonly directory: string;
  readonly user: ServiceUser | undefined;
  readonly secrets: Secrets;
  readonly settings: DevSettings;
};

/** Our Postgres with a database `clarin` in it; `url` is its owner's. */
export async function startPostgres(place: Place): Promise<RunningPostgres> {
  const binaries = await findPostgresBinaries({
    given: place.settings.postgresPrograms,
    cacheDirectory: join(place.directory, 'cache'),
    user: place.user,
  });
  const server = await startEmbeddedPostgres({
    binaries,
    user: place.user,
    // Postgres does not read another major version's files.
    directory: join(place.directory, `postgres-${binaries.major}`),
    port: await choosePort(HOST, POSTGRES_PORT),
    password: place.secrets.owner,
    conf: await readFile(join(CHECKOUT, 'postgres.conf'), 'utf8'),
    logFile: await openLog(place.directory, 'postgres'),
  });
  const url = new URL(server.url);
  await ensureDatabase(url.href);
  url.pathname = `/${DATABASE}`;
  return { ...server, url: url.href };
}

async function ensureDatabase(maintenanceUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: maintenanceUrl });
  await client.connect();
  try {
    const found = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}

export async function startRedis(place: Place): Promise<RunningRedis> {
  const binary = await findRedis({
    environment: place.settings.environment,
    cacheDirectory: join(place.directory, 'cache'),
  });
  return startRedisServer({
    binary,
    port: await choosePort(HOST, REDIS_PORT),
    directory: join(place.directory, 'redis'),
    password: place.secrets.redis,
    logFile: await openLog(place.directory, 'redis'),
  });
}

/** One file per process and start; that of the start before is kept as `.1`. */
export async function openLog(directory: string, name: string): Promise<string> {
  const logs = join(directory, 'logs');
  await mkdir(logs, { recursive: true });
  const file = join(logs, `${name}.log`);
  await rename(file, `${file}.1`).catch(() => undefined);
  return file;
}

const GROUPS = ['api', 'ingest', 'replicator'] as const;
export type Logins = Readonly<Record<(typeof GROUPS)[number], string>>;

/** A login for each process, with what the migrations grant it and no more; their URLs. */
export async function ensureLogins(ownerUrl: string, secrets: Secrets): Promise<Logins> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    for (const group of GROUPS) {
      const login = `clarin_dev_${group}`;
      const found = await client.query('select from pg_roles where rolname = $1', [login]);
      if (found.rowCount === 0) await client.query(`create role ${login}`);
      const attribute = group === 'replicator' ? 'replication' : 'noreplication';
      // Hexadecimal, checked when it was read: nothing in it needs quoting.
      await client.query(`alter role ${login} login ${attribute} password '${secrets[group]}'`);
      await client.query(`grant clarin_${group} to ${login}`);
    }
  } finally {
    await client.end();
  }
  const url = (group: keyof Logins): string => {
    const changed = new URL(ownerUrl);
    changed.username = `clarin_dev_${group}`;
    changed.password = secrets[group];
    return changed.href;
  };
  return { api: url('api'), ingest: url('ingest'), replicator: url('replicator') };
}
