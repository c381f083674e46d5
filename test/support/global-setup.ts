import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import {
  startEmbeddedPostgres,
  type PostgresOptions,
} from '../../platform/services/embedded-postgres.ts';
import { findFreePort } from '../../platform/services/ports.ts';
import { findPostgresBinaries } from '../../platform/services/postgres-binaries.ts';
import { isAlive, type ServiceUser } from '../../platform/services/processes.ts';
import { findRedis, type RedisBinary } from '../../platform/services/redis-binary.ts';
import { startRedisServer } from '../../platform/services/redis-server.ts';
import { canEnter, findServiceUser } from '../../platform/services/service-user.ts';
import { startWatchdog } from '../../platform/services/watchdog.ts';
import { RUN_MARK, runDirectoryPrefix } from './children.ts';
import { startContainers } from './containers.ts';
import { POSTGRES_SERVERS } from './postgres-servers.ts';
import { dropTemplate, prepareTemplate } from './databases.ts';

/** `url`: superuser, database `postgres`. `template`: what databases of a test are cloned from. */
export type PostgresServer = { readonly url: string; readonly template: string };

/** What a private Postgres of a test is started with, but for its place. */
export type PostgresBase = Pick<PostgresOptions, 'binaries' | 'user' | 'conf' | 'settings'>;

declare module 'vitest' {
  export interface ProvidedContext {
    /** One for each worker, so that no file's long transaction holds up the slots of another file. */
    postgresServers: PostgresServer[];
    redisUrl: string;
    redisBinary: RedisBinary;
    postgres: PostgresBase;
    /** Removed after the run. */
    runDirectory: string;
  }
}

type Services = {
  provide: (project: TestProject) => void;
  stop: () => Promise<void>;
};

/**
 * Several vitest projects share this file, each with its own copy of the module: the services are
 * started for the first and stopped with the last.
 */
type Shared = { users: number; services: Promise<Services> };
const SHARED = Symbol.for('clarin.test.services');
const globals = globalThis as typeof globalThis & { [SHARED]?: Shared };

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = (globals[SHARED] ??= { users: 0, services: startServices() });
  shared.users += 1;
  const services = await shared.services;
  services.provide(project);
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    delete globals[SHARED];
    await services.stop();
  };
}

/**
 * Generous, because every test file brings its own processes; fast, because nothing here must
 * survive a power cut.
 */
const SETTINGS = {
  max_connections: '200',
  max_replication_slots: '50',
  max_prepared_transactions: '10',
  max_wal_senders: '50',
  fsync: 'off',
  full_page_writes: 'off',
};

async function startServices(): Promise<Services> {
  process.env[RUN_MARK] ??= randomUUID();
  const user = await findServiceUser();
  const parent = await findParent(user);
  removeForgotten(parent);
  const runDirectory = await mkdtemp(join(parent, runDirectoryPrefix(process.pid)));
  await chmod(runDirectory, 0o755);
  const conf = await readFile(new URL('../../postgres.conf', import.meta.url), 'utf8');
  const base = await findBase({ conf, runDirectory, user });
  const redisBinary = await findRedis({
    environment: process.env,
    cacheDirectory: join(cacheDirectory(), 'cache'),
  });
  const given = {
    postgres: process.env['TEST_DATABASE_URL'],
    redis: process.env['TEST_REDIS_URL'],
  };
  const containers = await startContainers({ conf, settings: SETTINGS, given });
  const own = await startOwn({ base, redisBinary, runDirectory }, { ...containers.urls });
  const servers = await Promise.all(
    own.postgresUrls.map(async (url) => ({ url, template: await prepareTemplate(url) })),
  );
  return {
    provide: (project) => {
      project.provide('postgresServers', servers);
      project.provide('redisUrl', own.redisUrl);
      project.provide('redisBinary', redisBinary);
      project.provide('postgres', base);
      project.provide('runDirectory', runDirectory);
    },
    stop: async () => {
      if (given.postgres)
        for (const { url, template } of servers) await dropTemplate(url, template);
      await own.stop();
      await containers.stop();
      await rm(runDirectory, { recursive: true, force: true });
    },
  };
}

/** Some systems give root a temporary directory that nobody else can enter. */
async function findParent(user: ServiceUser | undefined): Promise<string> {
  for (const directory of [tmpdir(), '/var/tmp'])
    if (await canEnter(directory, user)) return directory;
  return tmpdir();
}

type BaseOptions = { conf: string; runDirectory: string; user: ServiceUser | undefined };

async function findBase({ conf, runDirectory, user }: BaseOptions): Promise<PostgresBase> {
  const given = process.env['PG_BIN'] || undefined;
  const cache = join(runDirectory, 'cache');
  await mkdir(cache);
  const binaries = await findPostgresBinaries({ given, cacheDirectory: cache, user });
  return { binaries, user, conf, settings: SETTINGS };
}

/** Fetched packages are kept between runs. */
function cacheDirectory(): string {
  return process.env['CLARIN_DATA_DIR'] || new URL('../../.clarin', import.meta.url).pathname;
}

type Place = { base: PostgresBase; redisBinary: RedisBinary; runDirectory: string };
type Urls = { postgres?: string | undefined; redis?: string | undefined };

/** Starts what has not been given, and a watchdog that ends it should this run be killed. */
async function startOwn({ base, redisBinary, runDirectory }: Place, urls: Urls) {
  const startOne = async (index: number) =>
    startEmbeddedPostgres({
      ...base,
      directory: join(runDirectory, `postgres-${index}`),
      port: await findFreePort(),
      password: undefined,
      logFile: join(runDirectory, `postgres-${index}.log`),
    });
  const postgres =
    urls.postgres === undefined
      ? await Promise.all([...Array(POSTGRES_SERVERS).keys()].map(startOne))
      : [];
  const redis =
    urls.redis === undefined
      ? await startRedisServer({
          binary: redisBinary,
          port: await findFreePort(),
          directory: join(runDirectory, 'redis'),
          password: undefined,
          logFile: join(runDirectory, 'redis.log'),
        })
      : undefined;
  const watchdog = startWatchdog([
    ...postgres.map(({ pid }) => ({ pid, signal: 'INT' as const })),
    ...(redis ? [{ pid: redis.pid, signal: 'TERM' as const }] : []),
  ]);
  return {
    postgresUrls: urls.postgres === undefined ? postgres.map(({ url }) => url) : [urls.postgres],
    redisUrl: redis?.url ?? urls.redis ?? '',
    stop: async () => {
      watchdog.dismiss();
      await Promise.all([...postgres.map((each) => each.stop('immediate')), redis?.stop()]);
    },
  };
}

/** Directories of runs that were killed. */
function removeForgotten(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = /^clarin-test-(\d+)-/.exec(name)?.[1];
    const directory = join(parent, name);
    if (pid === undefined || isAlive(Number(pid)) || !existsSync(directory)) continue;
    rmSync(directory, { recursive: true, force: true });
  }
}
