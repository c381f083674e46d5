import { eventually } from '../support/eventually.ts';
import { spawnRole } from '../support/spawn-role.ts';
import type { SoakProcess } from './faults/fault.ts';
import { untilApplied } from './faults/seeing.ts';
import type { SoakAccount } from './accounts.ts';
import { differenceOf, type Crowd } from './crowd.ts';
import { compareReads } from './readers.ts';
import type { SoakClient } from './client.ts';
import type { Database } from '../../platform/postgres.ts';
import type { Tally } from './tally.ts';
import { FEED_TABLES, readTruth } from './truth.ts';
import type { Means } from './versions.ts';
import type { OwnWorld } from './world.ts';

type Options = Means & {
  readonly truth: Database;
  readonly accounts: readonly SoakAccount[];
  readonly tally: Tally;
};

const EQUAL_WITHIN_MS = 45_000;

/**
 * Until every process says of itself that it is ready, and these clients are served. Answers how long that took, in ms.
 * @throws Error with who is not.
 */
export async function untilGreen(
  world: OwnWorld,
  withinMs: number,
  clients: readonly SoakClient[] = [],
): Promise<number> {
  const startedMs = performance.now();
  await eventually(
    async () => {
      for (const process of world.processes) {
        const why = process.isAlive ? await whyNotReady(process) : 'it has ended';
        if (why !== undefined) throw new Error(`${process.name}: ${why}`);
      }
      const waiting = clients.find(({ isLive }) => !isLive);
      if (waiting) throw new Error(`${waiting.name} is not served`);
      return true;
    },
    { timeoutMs: withinMs, everyMs: 50, says: 'every process is ready by itself' },
  );
  return performance.now() - startedMs;
}

/** A standby is ready when it waits for a leader that lives. */
async function whyNotReady({ running }: SoakProcess): Promise<string | undefined> {
  const answer = await fetch(`${running.url}/health/ready`, { signal: AbortSignal.timeout(5_000) });
  return answer.status === 200 ? undefined : `${answer.status} ${await answer.text()}`;
}

/** Nobody writes any more: every client and every cached read must come to what Postgres holds. Answers what did not. */
export async function settle(
  options: Options,
  crowd: Crowd,
  paths: ReadonlyMap<number, readonly string[]>,
): Promise<string[]> {
  const { world, truth, accounts, tally, ledger } = options;
  tally.note('until applied at rest, ms', await untilApplied(world));
  const wrong: string[] = [];
  // For all of them together: where one does not come to it, the others are asked only once more.
  const deadlineMs = performance.now() + EQUAL_WITHIN_MS;
  for (const account of accounts) {
    const rows = await readTruth(truth, account.id, FEED_TABLES);
    for (const client of crowd.clients.filter(({ accountId }) => accountId === account.id)) {
      const why = await untilEqual(client, deadlineMs - performance.now(), () =>
        differenceOf(client, rows),
      );
      if (why !== undefined)
        wrong.push(`${client.name}: ${why}\n  its last: ${client.last.slice(-12).join('\n    ')}`);
      tally.add('copies compared');
      tally.add(
        'rows compared',
        [...rows.values()].reduce((sum, { size }) => sum + size, 0),
      );
    }
  }
  ledger.complainOfEarly();
  for (const account of accounts)
    wrong.push(...(await compareReads(options, account, paths.get(account.id) ?? [])));
  wrong.push(...(await verify(world, tally)));
  return wrong;
}

async function untilEqual(
  client: SoakClient,
  timeoutMs: number,
  difference: () => string | undefined,
): Promise<string | undefined> {
  try {
    await eventually(() => client.isLive && difference() === undefined, {
      timeoutMs,
      everyMs: 50,
    });
    return undefined;
  } catch {
    return `${client.isLive ? '' : 'not live; '}${difference() ?? 'equal'}`;
  }
}

/** `clarin verify`, as anybody runs it. */
async function verify(world: OwnWorld, tally: Tally): Promise<string[]> {
  const running = await spawnRole('verify', world.environment, { until: 'nothing' });
  const { code } = await running.exited;
  const said = running.log.find((line) => line['message'] === 'cache compared with Postgres');
  tally.add('cached entries verified', Number(said?.['coherent'] ?? 0));
  return code === 0
    ? []
    : [`clarin verify ends with ${code}: ${JSON.stringify(running.log.slice(-5))}`];
}
