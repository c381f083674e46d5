import { lsnFromHex, mustParseLsn, type Lsn } from '../../../domain/lsn.ts';
import { eventually } from '../../support/eventually.ts';
import type { SoakProcess, SoakWorld, SqlRow } from './fault.ts';

/** What faults look at, so that each of them can be seen to have happened. */

export const PUBLICATION = 'clarin';

/** The default, as config.ts has it. */
export const slotOf = (world: SoakWorld): string => `clarin_${world.database.name}`;

export function aliveOf(world: SoakWorld, role: SoakProcess['role']): SoakProcess[] {
  return world.processes.filter((process) => process.role === role && process.isAlive);
}

export const replicatorsOf = (world: SoakWorld): SoakProcess[] => aliveOf(world, 'replicator');

type Checks = { checks?: { name: string; ok: boolean; says: string }[] };

async function readHealth(process: SoakProcess): Promise<Checks> {
  const answer = await fetch(`${process.running.url}/health/ready`, {
    signal: AbortSignal.timeout(1_000),
  });
  return (await answer.json()) as Checks;
}

/** Green by its own word. False also for one that does not answer. */
export async function isGreen(process: SoakProcess): Promise<boolean> {
  try {
    const { checks = [] } = await readHealth(process);
    return checks.length > 0 && checks.every((check) => check.ok);
  } catch {
    return false;
  }
}

/** The replicator that leads, by its own word, once there is one with a stream. */
export async function findLeader(world: SoakWorld, timeoutMs = 30_000): Promise<SoakProcess> {
  return eventually(
    async () => {
      for (const process of replicatorsOf(world)) {
        const { checks = [] } = await readHealth(process).catch((): Checks => ({}));
        if (checks.some(({ name, says }) => name === 'leadership' && says === 'leader'))
          return process;
      }
      return undefined;
    },
    { timeoutMs, says: 'a replicator leads' },
  );
}

/** Of those alive, one that does not lead. */
export function standbyOf(world: SoakWorld, leader: SoakProcess): SoakProcess | undefined {
  return replicatorsOf(world).find((process) => process !== leader);
}

export function keyOf(world: SoakWorld, name: string): string {
  return `${world.environment['CLARIN_REDIS_PREFIX'] ?? 'clarin'}:{control}:${name}`;
}

/** Everything that ends at or before it is applied. Undefined: Redis has none, or does not answer. */
export async function readApplied(world: SoakWorld): Promise<Lsn | undefined> {
  const text = await world.redisCommand('get', keyOf(world, 'position')).catch(() => undefined);
  const hex = typeof text === 'string' ? text.split(' ')[1] : undefined;
  return hex === undefined ? undefined : lsnFromHex(hex);
}

export async function readEpoch(world: SoakWorld): Promise<string | undefined> {
  const text = await world.redisCommand('hget', keyOf(world, 'control'), 'epoch').catch(() => null);
  return typeof text === 'string' ? text : undefined;
}

export async function readTerm(world: SoakWorld): Promise<number> {
  return Number(await world.redisCommand('hget', keyOf(world, 'control'), 'term').catch(() => 0));
}

/** Whether readers trust the cache. A Redis that does not answer is trusted by nobody. */
export async function isLeased(world: SoakWorld): Promise<boolean> {
  return (await world.redisCommand('exists', keyOf(world, 'live')).catch(() => 0)) === 1;
}

/** A commit of ours that concerns nobody. Answers a position within it. */
async function commitMark(world: SoakWorld): Promise<Lsn> {
  const [row] = await world.sql(`select pg_logical_emit_message(true, 'soak', 'mark') as lsn`);
  return mustParseLsn(String(row?.['lsn']));
}

/**
 * Waits until what is committed now has come all the way into Redis, and answers how long that took. In the epoch of now or
 * of then.
 */
export async function untilApplied(world: SoakWorld, timeoutMs = 60_000): Promise<number> {
  const startedMs = performance.now();
  const mark = await commitMark(world);
  await eventually(async () => ((await readApplied(world)) ?? 0n) >= mark, {
    timeoutMs,
    everyMs: 10,
    says: 'a commit is applied',
  });
  return performance.now() - startedMs;
}

/** How many lines of this text a process has logged; of all its lives that `running` still knows, the last. */
export function countLines(process: SoakProcess, message: string): number {
  return process.running.log.filter((line) => line['message'] === message).length;
}

/** Answers how long it took. */
export async function untilTrue(
  says: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<number> {
  const startedMs = performance.now();
  await eventually(check, { timeoutMs, everyMs: 20, says });
  return performance.now() - startedMs;
}

/** The world goes on meanwhile: the fault is what is there for so long. */
export const letPass = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

export async function readSlotRow(world: SoakWorld): Promise<SqlRow | undefined> {
  const [row] = await world.sql(
    `select slot_name, active, active_pid, wal_status, restart_lsn, confirmed_flush_lsn
     from pg_replication_slots where slot_name = $1`,
    [slotOf(world)],
  );
  return row;
}

export const round = (ms: number): number => Math.round(ms);
