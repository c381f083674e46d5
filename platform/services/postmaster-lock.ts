import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, poll, readCommandLine } from './processes.ts';

/**
 * Makes way in a data directory of ours whose Postgres was left behind by a killed starter. If the
 * server still runs it is shut down properly; if it is gone, its lock file is removed. Postgres
 * does that itself, but not when another process of the same user has got the old process id
 * meanwhile, as happens in small containers. The caller has made sure that no other starter uses
 * the directory.
 */
export async function removeStaleLock(directory: string): Promise<void> {
  const file = join(directory, 'postmaster.pid');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const pid = Number.parseInt(text, 10);
  if (pid > 1 && (await isPostgresOf(pid, directory))) {
    process.kill(pid, 'SIGINT');
    const gone = await poll(async () => (isAlive(pid) ? undefined : { value: true }), {
      timeoutMs: 30_000,
    });
    if (!gone) process.kill(pid, 'SIGKILL');
  }
  await rm(file, { force: true });
}

async function isPostgresOf(pid: number, directory: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const line = await readCommandLine(pid);
  return line.includes('postgres') && line.includes(directory);
}
