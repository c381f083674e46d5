import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { ClarinError } from '../../domain/errors.ts';
import { sqlStateOf } from '../sqlstate.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { endProcess, hasEnded, poll, runToEnd, type ServiceUser } from './processes.ts';
import { removeStaleLock } from './postmaster-lock.ts';

const SUPERUSER = 'clarin';

export type PostgresOptions = {
  readonly binaries: PostgresBinaries;
  /** As whom it runs; undefined: oneself. */
  readonly user: ServiceUser | undefined;
  /** Of the cluster; made at the first start. Its parent exists and the user can enter it. */
  readonly directory: string;
  readonly port: number;
  /** Of the superuser `clarin`; undefined: everybody on this machine is trusted (tests). */
  readonly password: string | undefined;
  /** Text of a postgresql.conf; written anew at every start. */
  readonly conf: string;
  /** Settings that win over `conf`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly logFile: string;
};

export type RunningPostgres = {
  /** Superuser, database `postgres`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /**
   * `fast` ends sessions and writes a checkpoint, `immediate` is a crash that recovers at the next
   * start.
   */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  /** Resolves when the server ends, whoever ended it. */
  readonly ended: Promise<void>;
};

const INVALID_PASSWORD = '28P01';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;

/**
 * A Postgres of ours on 127.0.0.1, without a Unix socket: its path could be too long below some
 * checkouts.
 * @throws ClarinError `configuration` with the server's own reason when it does not start.
 */
export async function startEmbeddedPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  if (!existsSync(join(options.directory, 'PG_VERSION'))) await initialise(options);
  await removeStaleLock(options.directory);
  const conf = join(options.directory, 'postgresql.conf');
  await writeFile(conf, options.conf);
  await give(conf, options.user, 0o600);
  const child = await launch(options);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const authority = options.password === undefined ? SUPERUSER : `${SUPERUSER}:${options.password}`;
  const url = `postgres://${authority}@127.0.0.1:${options.port}/postgres`;
  const answer = await poll(
    async () => {
      if (hasEnded(child)) return { value: 'it ended' };
      const told = await knock(url);
      return told === 'not yet' ? undefined : { value: told };
    },
    { timeoutMs: START_TIMEOUT_MS },
  );
  if (answer?.value !== 'open' || child.pid === undefined) {
    await endProcess(child, 'SIGQUIT', 5_000);
    const why =
      answer?.value === 'wrong password' ? WRONG_PASSWORD : await lastReason(options.logFile);
    throw new ClarinError(
      'configuration',
      `Postgres in ${options.directory} does not start: ${why}`,
    );
  }
  return {
    url,
    port: options.port,
    pid: child.pid,
    ended,
    stop: (mode = 'fast') =>
      endProcess(child, mode === 'fast' ? 'SIGINT' : 'SIGQUIT', STOP_TIMEOUT_MS),
  };
}

/**
 * In a session of its own: Ctrl-C in a terminal reaches whoever started us, and that one decides
 * the order.
 */
async function launch(options: PostgresOptions): Promise<ChildProcess> {
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const log = await open(options.logFile, 'a', 0o600);
  try {
    const child = spawn(
      join(options.binaries.directory, 'postgres'),
      ['-D', options.directory, '-p', String(options.port), ...flags],
      {
        cwd: options.directory,
        env: serverEnvironment(),
        ...(options.user && { uid: options.user.uid, gid: options.user.gid }),
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      },
    );
    // Why a program could not be started is told by it having no process id.
    child.on('error', () => undefined);
    return child;
  } finally {
    await log.close();
  }
}

/**
 * Nothing of the caller's environment: PGDATA, PGPORT, LC_ALL or a locale of his must not reach the
 * server.
 */
function serverEnvironment(): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/** Complete or not there: made beside its place and renamed. */
async function initialise(options: PostgresOptions): Promise<void> {
  const partial = `${options.directory}.new`;
  const passwordFile = `${options.directory}.password`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(dirname(options.directory), { recursive: true });
  await mkdir(partial, { mode: 0o700 });
  await give(partial, options.user, 0o700);
  const auth = options.password === undefined ? ['--auth=trust'] : [`--pwfile=${passwordFile}`];
  if (options.password !== undefined) {
    await writeFile(passwordFile, options.password, { mode: 0o600 });
    await give(passwordFile, options.user, 0o600);
    auth.push('--auth=scram-sha-256');
  }
  const base = ['-D', partial, `--username=${SUPERUSER}`, '--encoding=UTF8', ...auth];
  let why = '';
  try {
    for (const locale of localeChoices(options.binaries.major)) {
      const made = await runToEnd(
        join(options.binaries.directory, 'initdb'),
        [...base, ...locale],
        {
          user: options.user,
          cwd: partial,
          environment: serverEnvironment(),
          timeoutMs: 120_000,
        },
      );
      if (made.ok) return await rename(partial, options.directory);
      why = made.output.split('\n').findLast((line) => line.includes('error:')) ?? made.output;
    }
  } finally {
    await rm(passwordFile, { force: true });
  }
  throw new ClarinError('configuration', `initdb cannot make ${options.directory}: ${why}`);
}

/**
 * Letters beyond ASCII have upper and lower case (search, unique names) and are letters to pg_trgm, which asks the C
 * library whatever the provider is, where the machine can do it.
 */
function localeChoices(major: number): string[][] {
  if (major < 17) return [['--locale=C.UTF-8'], ['--locale=C']];
  const builtin = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  return [[...builtin, '--lc-ctype=C.UTF-8'], builtin];
}

async function give(path: string, user: ServiceUser | undefined, mode: number): Promise<void> {
  await chmod(path, mode);
  if (user) await chown(path, user.uid, user.gid);
}

const WRONG_PASSWORD =
  'its data were made with another password than the one kept beside them. Remove the data, or bring that password back.';

type Answer = 'open' | 'not yet' | 'wrong password';

async function knock(url: string): Promise<Answer> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return 'open';
  } catch (error) {
    return sqlStateOf(error) === INVALID_PASSWORD ? 'wrong password' : 'not yet';
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function lastReason(logFile: string): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '');
  const line = text.split('\n').findLast((each) => /(FATAL|PANIC|ERROR|error):?/.test(each));
  const why = line?.replace(/^.*?(FATAL|PANIC|ERROR): */, '') ?? 'its log says nothing';
  return `${why} (${logFile}).`;
}
