import { CARRIED_OUT, type Order } from './orders.ts';
import type { Fault, SoakProcess, SoakWorld } from './fault.ts';
import {
  keyOf,
  replicatorsOf,
  aliveOf,
  findLeader,
  isGreen,
  letPass,
  round,
  standbyOf,
  untilApplied,
  untilTrue,
} from './seeing.ts';

const HOUR_MS = 3_600_000;

async function shift(process: SoakProcess, shiftMs: number): Promise<void> {
  const { running } = process;
  const before = countShifts(running);
  running.send({ order: 'clock', shiftMs } satisfies Order);
  await untilTrue(
    `${process.name} has another clock`,
    () => countShifts(running) > before || process.running !== running || !process.isAlive,
  );
}

function countShifts(running: SoakProcess['running']): number {
  return running.log.filter((line) => line['message'] === CARRIED_OUT && 'shiftMs' in line).length;
}

type Choice = (world: SoakWorld, random: (below: number) => number) => Promise<SoakProcess>;

/**
 * The wall clock of one process jumps for a while. It goes on as if nothing were: what Clarin measures, it measures by clocks
 * that do not jump, and leases by Redis'.
 */
function clockJumps(name: string, sign: 1 | -1, choose: Choice): Fault {
  return {
    name,
    promises: ['G7', 'G9'],
    resync: 'never',
    greenWithinMs: 20_000,
    fits: () => true,
    run: async (world, random) => {
      const process = await choose(world, random);
      const { running } = process;
      const shiftMs = sign * (5_000 + random(2 * HOUR_MS));
      await shift(process, shiftMs);
      await letPass(1_000 + random(4_000));
      const appliedMs = await untilApplied(world);
      const isStillGreen = await isGreen(process);
      if (process.running === running) await shift(process, 0);
      return {
        says: `${process.name} (process ${running.pid}) was ${shiftMs} ms off and ${isStillGreen ? 'green' : 'red'}`,
        figures: { appliedMs: round(appliedMs), restarts: Number(process.running !== running) },
      };
    },
  };
}

const leader: Choice = (world) => findLeader(world);
const standby: Choice = async (world) => {
  const leading = await findLeader(world);
  return standbyOf(world, leading) ?? leading;
};
const anyOf =
  (role: SoakProcess['role']): Choice =>
  async (world, random) => {
    const alive = aliveOf(world, role);
    const chosen = alive[random(alive.length)];
    if (!chosen) throw new Error(`no ${role} is alive`);
    return chosen;
  };

/**
 * As if its wall clock were put back while nobody is there to renew: the lease lives on, and readers must not believe it for
 * longer than a lease may live. What they would believe, writers change meanwhile.
 */
const redisPutBack: Fault = {
  name: 'clock of Redis put back',
  promises: ['G4', 'G7'],
  resync: 'never',
  greenWithinMs: 45_000,
  isAlone: true,
  fits: (world) => replicatorsOf(world).length > 0,
  run: async (world, random) => {
    await findLeader(world);
    const stopped = replicatorsOf(world).map((process) => process.running);
    const ms = 4_000 + random(4_000);
    const live = keyOf(world, 'live');
    for (const running of stopped) running.kill('SIGSTOP');
    try {
      const wasThere = await world.redisCommand('persist', live);
      if (wasThere !== 1) throw new Error('there was no lease');
      await letPass(ms);
      if ((await world.redisCommand('exists', live)) !== 1) throw new Error('the lease is gone');
    } finally {
      await world.redisCommand('pexpire', live, 1).catch(() => undefined);
      for (const running of stopped) running.kill('SIGCONT');
    }
    return {
      says: `the lease lived on for ${ms} ms behind ${stopped.length} replicators that stood still`,
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

/** An api or a gateway that is ahead takes tokens for expired, as it must: only backwards for them. */
export const CLOCK_FAULTS: readonly Fault[] = [
  redisPutBack,
  clockJumps('clock of the leader ahead', 1, leader),
  clockJumps('clock of the leader behind', -1, leader),
  clockJumps('clock of a standby ahead', 1, standby),
  clockJumps('clock of a standby behind', -1, standby),
  clockJumps('clock of an api behind', -1, anyOf('api')),
  clockJumps('clock of a gateway behind', -1, anyOf('gateway')),
];
