import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { runToEnd, type ServiceUser } from './processes.ts';

const TIMEOUT_MS = 10_000;

/**
 * As whom Postgres runs: it refuses root. Undefined for an ordinary user, who runs it himself. Root
 * takes the account `postgres`, makes it where it is missing, and takes `nobody` where it cannot be
 * made.
 */
export async function findServiceUser(): Promise<ServiceUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const known = (await readUser('postgres')) ?? (await readUser('_postgres'));
  if (known) return known;
  const system = ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin'];
  await runToEnd('useradd', [...system, 'postgres'], { timeoutMs: TIMEOUT_MS });
  return (await readUser('postgres')) ?? (await readUser('nobody'));
}

async function readUser(name: string): Promise<ServiceUser | undefined> {
  const uid = await runToEnd('id', ['-u', name], { timeoutMs: TIMEOUT_MS });
  const gid = await runToEnd('id', ['-g', name], { timeoutMs: TIMEOUT_MS });
  if (!uid.ok || !gid.ok) return undefined;
  return { uid: Number(uid.output), gid: Number(gid.output), name };
}

/**
 * Whether the user can go into the directory. Tried for real: modes of every directory above it,
 * access lists and mount options decide together.
 */
export async function canEnter(directory: string, user: ServiceUser | undefined): Promise<boolean> {
  const tried = await runToEnd('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], {
    user,
    timeoutMs: TIMEOUT_MS,
  });
  return tried.ok;
}

/** Whether this process may create files in the directory. */
export async function canWrite(directory: string): Promise<boolean> {
  return access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}
