import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPostgresBinaries } from '../../platform/services/postgres-binaries.ts';
import { findRedis } from '../../platform/services/redis-binary.ts';
import { isAlive, type ServiceUser } from '../../platform/services/processes.ts';
import { canEnter, findServiceUser } from '../../platform/services/service-user.ts';
import type { Ground } from '../support/servers.ts';

/** As in the tests: room for everybody, and nothing here must survive a power cut. */
const SETTINGS = {
  max_connections: '200',
  max_prepared_transactions: '10',
  fsync: 'off',
  full_page_writes: 'off',
};

/** For a soak outside of vitest. The caller removes it. */
export async function layGround(): Promise<Ground & { remove(): Promise<void> }> {
  const user = await findServiceUser();
  const parent = await findParent(user);
  await removeForgotten(parent);
  const directory = await mkdtemp(join(parent, `clarin-soak-${process.pid}-`));
  await chmod(directory, 0o755);
  const cacheDirectory = join(directory, 'cache');
  await mkdir(cacheDirectory);
  const given = process.env['PG_BIN'] || undefined;
  return {
    postgres: {
      binaries: await findPostgresBinaries({ given, cacheDirectory, user }),
      user,
      conf: await readFile(new URL('../../postgres.conf', import.meta.url), 'utf8'),
      settings: SETTINGS,
    },
    redisBinary: await findRedis({
      environment: process.env,
      cacheDirectory: new URL('../../.clarin/cache', import.meta.url).pathname,
    }),
    directory,
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

async function findParent(user: ServiceUser | undefined): Promise<string> {
  for (const directory of [tmpdir(), '/var/tmp'])
    if (await canEnter(directory, user)) return directory;
  return tmpdir();
}

/** Directories of soaks that were killed. */
async function removeForgotten(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^clarin-soak-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}
