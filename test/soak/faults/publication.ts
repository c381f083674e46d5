import { migrate } from '../../../migrations/run.ts';
import { createLog } from '../../../platform/log.ts';
import type { Fault, SoakWorld } from './fault.ts';
import {
  findLeader,
  letPass,
  PUBLICATION,
  readEpoch,
  replicatorsOf,
  round,
  untilApplied,
  untilTrue,
} from './seeing.ts';

/** Several, on a busy machine. */
const HEARTBEATS_MS = 4_000;

/** What an operator does: brings publication and replica identities back to what the declarations say. */
async function repair(world: SoakWorld): Promise<void> {
  const log = createLog({ component: 'migrate', level: 'silent' });
  await migrate({ url: world.database.ownerUrl, log, publication: PUBLICATION });
}

type Outcome = { readonly refusals: number; readonly newEpoch: boolean; readonly backMs: number };

/**
 * Breaks, waits for a while, puts right, and sees that the replicators go on by themselves. `refusals`: how many processes
 * ended meanwhile because the database did not fit.
 */
export async function breakAndRepair(
  world: SoakWorld,
  ms: number,
  { alter, putRight }: { alter: () => Promise<unknown>; putRight: () => Promise<unknown> },
): Promise<Outcome> {
  await findLeader(world);
  const epoch = await readEpoch(world);
  const lives = replicatorsOf(world).map((process) => ({ process, running: process.running }));
  try {
    await alter();
    await letPass(ms);
  } finally {
    await putRight();
    await repair(world);
  }
  const refusals = lives.filter(({ running }) =>
    running.log.some((line) => JSON.stringify(line['error'] ?? '').includes('replication_drift')),
  ).length;
  await untilTrue(
    'a replicator leads again',
    async () => (await findLeader(world)) !== undefined,
    60_000,
  );
  const backMs = await untilApplied(world);
  return { refusals, newEpoch: await hasNewEpoch(world, epoch), backMs };
}

/** What was put right before anybody looked is found by the next heartbeat. */
async function hasNewEpoch(world: SoakWorld, before: string | undefined): Promise<boolean> {
  const isNew = async (): Promise<boolean> => (await readEpoch(world)) !== before;
  return untilTrue('a new epoch begins', isNew, HEARTBEATS_MS).then(
    () => true,
    () => false,
  );
}

type Alteration = { readonly name: string; readonly statement: string };

const ALTERATIONS: readonly Alteration[] = [
  {
    name: 'a table leaves the publication',
    statement: `alter publication ${PUBLICATION} drop table tags`,
  },
  {
    name: 'an operation leaves the publication',
    statement: `alter publication ${PUBLICATION} set (publish = 'insert, update')`,
  },
  { name: 'the publication is dropped', statement: `drop publication ${PUBLICATION}` },
];

function altered({ name, statement }: Alteration): Fault {
  return {
    name,
    promises: ['G1', 'G5', 'G9'],
    resync: 'always',
    greenWithinMs: 60_000,
    isAlone: true,
    fits: () => true,
    run: async (world, random) => {
      const ms = random(3) === 0 ? 0 : 200 + random(5_000);
      const { refusals, newEpoch, backMs } = await breakAndRepair(world, ms, {
        alter: () => world.sql(statement),
        putRight: async () => undefined,
      });
      if (!newEpoch) throw new Error('what was missed was not said: the epoch is the same');
      return {
        says: `${statement}; put right after ${ms} ms, ${refusals} replicators had refused it; a new epoch`,
        figures: { backMs: round(backMs) },
      };
    },
  };
}

export const PUBLICATION_FAULTS: readonly Fault[] = ALTERATIONS.map(altered);
