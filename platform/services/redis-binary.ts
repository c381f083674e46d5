import { existsSync } from 'node:fs';
import { access, constants, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { ClarinError } from '../../domain/errors.ts';
import { runToEnd, type Finished } from './processes.ts';

/** How a redis-server can be started here. */
export type RedisBinary =
  | { readonly kind: 'program'; readonly path: string; readonly libraryPath: string | undefined }
  | { readonly kind: 'docker'; readonly image: string };

type Environment = Readonly<Record<string, string | undefined>>;

type Options = {
  /** The caller's: PATH to look in, and what docker and apt read (DOCKER_HOST, http_proxy). */
  readonly environment: Environment;
  /** Where Debian's packages may be unpacked. */
  readonly cacheDirectory: string;
};

const REDIS_MAJOR_MIN = 7;
const IMAGE = 'redis:7-alpine';
/** Valkey is Redis by another name to its clients. */
const PROGRAMS = ['redis-server', 'valkey-server'];

const HOW_TO_INSTALL =
  'install it (`apt-get install redis-server`, `brew install redis`, `apk add redis`), or set REDIS_URL to a Redis of yours';

/**
 * On PATH; else a Docker engine; else the packages of Debian or Ubuntu, downloaded and unpacked
 * into the cache directory: nothing is installed and no right is needed. No package of the npm
 * registry carries a Redis.
 * @throws ClarinError `configuration` with a sentence that says how to get one.
 */
export async function findRedis(options: Options): Promise<RedisBinary> {
  let tooOld: string | undefined;
  for (const path of await findOnPath(options.environment['PATH'] ?? '')) {
    const version = await readVersion(path, undefined);
    if (version === undefined) continue;
    if (version >= REDIS_MAJOR_MIN) return { kind: 'program', path, libraryPath: undefined };
    tooOld = `${path} is Redis ${version}, Clarin needs ${REDIS_MAJOR_MIN} or newer`;
  }
  if (await dockerAnswers(options.environment)) return { kind: 'docker', image: IMAGE };
  const fetched = await fetchFromDebian(options);
  if (fetched.binary) return fetched.binary;
  const why = tooOld ?? `no redis-server on PATH, no Docker engine, and ${fetched.why}`;
  throw new ClarinError('configuration', `There is no Redis here (${why}): ${HOW_TO_INSTALL}.`);
}

async function findOnPath(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const directory of path.split(delimiter).filter((each) => each !== '')) {
    for (const program of PROGRAMS) {
      const file = join(directory, program);
      if (
        await access(file, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        found.push(file);
    }
  }
  return found;
}

async function readVersion(
  path: string,
  libraryPath: string | undefined,
): Promise<number | undefined> {
  const tried = await runToEnd(path, ['--version'], {
    timeoutMs: 10_000,
    ...(libraryPath !== undefined && { environment: { LD_LIBRARY_PATH: libraryPath } }),
  });
  const major = /v=(\d+)\./.exec(tried.output)?.[1];
  return tried.ok && major !== undefined ? Number(major) : undefined;
}

/** Whether an engine answers, in 5 s; the program alone is often there without one. */
async function dockerAnswers(environment: Environment): Promise<boolean> {
  const asked = await runToEnd('docker', ['version', '--format', '{{.Server.Version}}'], {
    environment,
    timeoutMs: 5_000,
  });
  return asked.ok && asked.output !== '';
}

type Fetched = { readonly binary?: RedisBinary; readonly why: string };

async function fetchFromDebian({ environment, cacheDirectory }: Options): Promise<Fetched> {
  const root = join(cacheDirectory, 'redis');
  if (!existsSync(root)) {
    const tools = await runToEnd('apt-get', ['--version'], { timeoutMs: 10_000, environment });
    if (!tools.ok)
      return { why: 'this is neither Debian nor Ubuntu, whose packages could be fetched' };
    const partial = `${root}.${process.pid}`;
    try {
      await mkdir(join(partial, 'packages'), { recursive: true });
      const why = await unpackPackages(partial, environment);
      if (why !== undefined) return { why };
      await rename(partial, root).catch((error: unknown) => {
        if (!existsSync(root)) throw error;
      });
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }
  const program = join(root, 'usr', 'bin', 'redis-server');
  const libraryPath = (await libraryDirectories(root)).join(delimiter);
  const version = await readVersion(program, libraryPath);
  if (version !== undefined && version >= REDIS_MAJOR_MIN) {
    return { binary: { kind: 'program', path: program, libraryPath }, why: '' };
  }
  await rm(root, { recursive: true, force: true });
  return {
    why:
      version === undefined
        ? 'that of its packages does not run'
        : `its packages have Redis ${version} only`,
  };
}

/** Downloads and unpacks below `root`; why it cannot, when it cannot. */
async function unpackPackages(root: string, environment: Environment): Promise<string | undefined> {
  // The machine's own lists may be empty or out of date (fresh containers): then lists of ours,
  // below `root`.
  for (const flags of [[], ownLists(root)]) {
    if (flags.length > 0) {
      await mkdir(join(root, 'apt', 'lists', 'partial'), { recursive: true });
      await mkdir(join(root, 'apt', 'cache', 'archives', 'partial'), { recursive: true });
      await runApt(['apt-get', ...flags, 'update'], root, environment);
    }
    const names = await packageNames(flags, root, environment);
    if (names.length === 0) continue;
    const download = ['apt-get', ...flags, 'download'];
    const got = await runApt([...download, ...names], join(root, 'packages'), environment);
    if (!got.ok) continue;
    for (const file of await readdir(join(root, 'packages'))) {
      const unpack = ['dpkg-deb', '-x', join(root, 'packages', file), root];
      if (!(await runApt(unpack, root, environment)).ok) return `${file} cannot be unpacked`;
    }
    await rm(join(root, 'packages'), { recursive: true });
    await rm(join(root, 'apt'), { recursive: true, force: true });
    return undefined;
  }
  return 'its packages cannot be downloaded';
}

function ownLists(root: string): string[] {
  const directories = {
    'Dir::State::Lists': join(root, 'apt', 'lists'),
    'Dir::Cache': join(root, 'apt', 'cache'),
    'APT::Sandbox::User': '',
  };
  return Object.entries(directories).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

function runApt(
  command: readonly string[],
  cwd: string,
  environment: Environment,
): Promise<Finished> {
  const [program = '', ...parameters] = command;
  return runToEnd(program, parameters, {
    cwd,
    environment: { ...environment, LC_ALL: 'C' },
    timeoutMs: 120_000,
  });
}

/**
 * redis-server, redis-tools (which holds the program on Debian) and the libraries they name,
 * without those every system has. Asked of apt and not listed here: names differ between releases
 * (libssl3, libssl3t64).
 */
async function packageNames(
  flags: readonly string[],
  cwd: string,
  environment: Environment,
): Promise<string[]> {
  const kinds = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
  const ask = ['apt-cache', ...flags, 'depends', ...kinds.map((kind) => `--no-${kind}`)];
  const names = new Set(['redis-server', 'redis-tools']);
  // Twice: once for what the two need, once for what that needs.
  for (let round = 0; round < 2; round += 1) {
    const listed = await runApt([...ask, ...names], cwd, environment);
    if (!listed.ok) return [];
    for (const [, name] of listed.output.matchAll(/^ {1,2}Depends: ([a-z0-9.+-]+)$/gm)) {
      if (name !== undefined && /^(lib|lua)/.test(name) && !/^lib(c6|gcc)/.test(name))
        names.add(name);
    }
  }
  return [...names];
}

/** Every directory below usr/lib and lib that holds shared libraries. */
async function libraryDirectories(root: string): Promise<string[]> {
  const directories = new Set<string>();
  for (const top of ['usr/lib', 'lib']) {
    const entries = await readdir(join(root, top), { withFileTypes: true, recursive: true }).catch(
      () => [],
    );
    for (const entry of entries)
      if (/\.so(\.|$)/.test(entry.name)) directories.add(entry.parentPath);
  }
  return [...directories];
}
