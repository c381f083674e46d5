import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  startEmbeddedPostgres,
  type PostgresOptions,
} from '../../platform/services/embedded-postgres.ts';
import { findFreePort } from '../../platform/services/ports.ts';
import type { RedisBinary } from '../../platform/services/redis-binary.ts';
import { startRedisServer } from '../../platform/services/redis-server.ts';
import { startWatchdog } from '../../platform/services/watchdog.ts';
import { endChildren } from './children.ts';
import { cloneDatabase, prepareTemplate, type TestDatabase } from './databases.ts';

/** With what and where servers of one's own are started: inside of vitest and outside of it. */
export type Ground = {
  readonly postgres: Pick<PostgresOptions, 'binaries' | 'user' | 'conf' | 'settings'>;
  readonly redisBinary: RedisBinary;
  /** Both users can enter it; whoever made it removes it. */
  readonly directory: string;
};

export type TestRedis = {
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
  /** Starts it again on the same port, empty. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** It keeps its connections and answers nothing, until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
};

/** A Redis of one's own, empty. The caller stops it. */
export async function openRedis(
  { redisBinary, directory: parent }: Ground,
  settings: Readonly<Record<string, string>> = {},
): Promise<TestRedis> {
  const directory = await mkdtemp(join(parent, 'redis-'));
  const port = await findFreePort();
  const launch = async () => {
    const started = await startRedisServer({
      binary: redisBinary,
      port,
      directory,
      password: undefined,
      settings,
      logFile: join(directory, 'log'),
    });
    watch(started, 'TERM');
    return started;
  };
  let running = await launch();
  const start = async (): Promise<void> => {
    running = await launch();
  };
  return {
    url: running.url,
    port,
    start,
    stop: () => running.stop(),
    restart: async () => {
      await running.stop();
      await start();
    },
    pause: () => running.pause(),
    resume: () => running.resume(),
  };
}

export type TestPostgres = {
  /** Superuser, database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** A database of one's own in it, with all migrations applied. */
  createDatabase(): Promise<TestDatabase>;
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
  restart(mode?: 'fast' | 'immediate'): Promise<void>;
  /** SIGKILL to all its processes at once, as when a machine's memory is out. `start` recovers. */
  kill(): Promise<void>;
  /** Stops it and removes its files. */
  remove(): Promise<void>;
};

/**
 * A Postgres of one's own, for tests that restart, kill or reconfigure it. The caller removes it.
 */
export async function openPostgres(
  { postgres, directory }: Ground,
  conf: Readonly<Record<string, string>> = {},
): Promise<TestPostgres> {
  const parent = await mkdtemp(join(directory, 'postgres-'));
  const options: PostgresOptions = {
    ...postgres,
    directory: join(parent, 'data'),
    port: await findFreePort(),
    password: undefined,
    settings: { ...postgres.settings, ...conf },
    logFile: join(parent, 'log'),
  };
  // mkdtemp makes directories for oneself only; Postgres may run as somebody else.
  await chmod(parent, 0o755);
  const launch = async () => {
    const started = await startEmbeddedPostgres(options);
    watch(started, 'INT');
    return started;
  };
  let running = await launch();
  let template: Promise<string> | undefined;
  const start = async (): Promise<void> => {
    running = await launch();
  };
  return {
    url: running.url,
    port: options.port,
    createDatabase: async () => {
      template ??= prepareTemplate(running.url);
      return cloneDatabase(running.url, await template);
    },
    stop: (mode) => running.stop(mode),
    start,
    restart: async (mode) => {
      await running.stop(mode);
      await start();
    },
    kill: async () => {
      endChildren(running.pid);
      await running.ended;
    },
    remove: async () => {
      await running.stop('immediate');
      await rm(parent, { recursive: true, force: true });
    },
  };
}

/** Whoever starts it may be killed: then it ends too. */
function watch(
  { pid, ended }: { pid: number; ended: Promise<unknown> },
  signal: 'INT' | 'TERM',
): void {
  const watchdog = startWatchdog([{ pid, signal }]);
  // Its number may belong to somebody else afterwards.
  void ended.then(() => watchdog.dismiss());
}
