import { readFileSync } from 'node:fs';
import { seedDemo } from '../migrations/seed.ts';
import { createLog } from '../platform/log.ts';
import { spawnRole, type RunningRole } from '../test/support/spawn-role.ts';
import type { Cluster } from './cluster.ts';
import { settingsOf } from './stack.ts';

/** Every role as a process of its own, and the demo account's administrator. */
export type IngestStack = {
  readonly api: RunningRole;
  readonly feed: string;
  readonly token: string;
  startIngest(more?: Readonly<Record<string, string>>): Promise<RunningRole>;
  /** Of the worker that was started last. */
  ingestPid(): number;
  stop(): Promise<void>;
};

/** `settings` besides those that every role has here. */
export async function startIngestStack(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
): Promise<IngestStack> {
  const { database } = cluster;
  const log = createLog({ component: 'dev', level: 'error' });
  const { username, password } = await seedDemo({ url: database.url, log });
  const common = { ...settingsOf(cluster), ...settings };
  const own = (url: string) => ({ ...common, DATABASE_URL: url, REPLICATION_DATABASE_URL: url });
  const replicator = await spawnRole('replicator', own(database.logins.replicator));
  const api = await spawnRole('api', own(database.logins.api));
  const workers: RunningRole[] = [];
  const login = { username, password };
  const { token } = await call<{ token: string }>(api, 'POST /api/auth/login', '', login);
  return {
    api,
    feed: `${replicator.url.replace('http', 'ws')}/feed`,
    token,
    startIngest: async (more = {}) => {
      const worker = await spawnRole('ingest', { ...own(database.logins.ingest), ...more });
      workers.push(worker);
      return worker;
    },
    ingestPid: () => workers.at(-1)?.pid ?? 0,
    stop: async () => {
      for (const role of [...workers, api, replicator]) await role.stop();
    },
  };
}

/** @throws Error when it is refused. */
export async function call<T>(
  { url }: RunningRole,
  route: string,
  token: string,
  body?: unknown,
): Promise<T> {
  const [method = '', path = ''] = route.split(' ');
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token !== '' && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** Of a process so far, user and system. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
export function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  const TICKS_PER_SECOND = 100;
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of a process, MiB. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html */
export function residentMbOf(pid: number): number {
  const [, kilobytes = '0'] =
    /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) / 1_024;
}
