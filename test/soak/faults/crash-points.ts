import type { Point } from '../../../replicator/seams.ts';
import { CARRIED_OUT, type Order } from './orders.ts';
import type { Fault, Resync, SoakProcess, SoakWorld } from './fault.ts';
import {
  findLeader,
  letPass,
  readEpoch,
  readTerm,
  replicatorsOf,
  round,
  standbyOf,
  untilApplied,
  untilTrue,
} from './seeing.ts';
import { dropSlotByHand } from './slot.ts';

/** Between any two steps of a batch. */
const OF_A_BATCH = [
  'decoded',
  'visible',
  'written',
  'applied',
  'delivered',
  'returned',
  'acknowledged',
] as const satisfies readonly Point[];

function order(process: SoakProcess, point: Point, nth: number, does: 'crash' | 'stop'): void {
  process.running.send({ order: 'at point', point, nth, does } satisfies Order);
}

function hasComeTo(running: SoakProcess['running'], point: Point): boolean {
  return running.log.some((line) => line['message'] === CARRIED_OUT && line['point'] === point);
}

function crashAt(point: (typeof OF_A_BATCH)[number]): Fault {
  return {
    name: `crash at ${point}`,
    promises: ['G1', 'G2', 'G4', 'G5', 'G6'],
    resync: 'never',
    greenWithinMs: 30_000,
    bounds: { takeoverMs: 2_000 },
    fits: (world) => replicatorsOf(world).length >= 2,
    run: async (world, random) => {
      const leader = await findLeader(world);
      const { running } = leader;
      const nth = 1 + random(20);
      order(leader, point, nth, 'crash');
      const exit = await running.exited;
      if (exit.signal !== 'SIGKILL' || !hasComeTo(running, point))
        throw new Error(`${leader.name} ended otherwise: ${JSON.stringify(exit)}`);
      return {
        says: `${leader.name} (process ${running.pid}) died at ${point}, batch ${nth}`,
        figures: { takeoverMs: round(await untilApplied(world)) },
      };
    },
  };
}

/** It holds a batch in its hands while another one takes over, and goes on with it afterwards. */
function stopAt(point: (typeof OF_A_BATCH)[number]): Fault {
  return {
    name: `stop at ${point}`,
    promises: ['G1', 'G2', 'G4', 'G6'],
    resync: 'never',
    greenWithinMs: 30_000,
    bounds: { takeoverAfterStopMs: 8_000 },
    waits: { takeoverAfterStopMs: 6_000 },
    fits: (world) => replicatorsOf(world).length >= 2,
    run: async (world, random) => {
      const leader = await findLeader(world);
      const { running } = leader;
      const before = await readTerm(world);
      const nth = 1 + random(20);
      order(leader, point, nth, 'stop');
      try {
        await untilTrue(`${leader.name} stands still`, () => hasComeTo(running, point));
        const takeoverAfterStopMs = await untilApplied(world);
        const term = await readTerm(world);
        if (term <= before) throw new Error(`the term is still ${term}`);
        await letPass(random(2_000));
        running.kill('SIGCONT');
        await untilTrue(
          'it has stepped down, or ended',
          () =>
            leader.running !== running ||
            !leader.isAlive ||
            running.log.some((line) => line['message'] === 'no longer leader'),
        );
        if ((await readTerm(world)) !== term) throw new Error('it has raised the term again');
        return {
          says: `${leader.name} (process ${running.pid}) stood still at ${point}, batch ${nth}, and stepped down on waking`,
          figures: { takeoverAfterStopMs: round(takeoverAfterStopMs) },
        };
      } finally {
        running.kill('SIGCONT');
      }
    },
  };
}

type Making = {
  readonly point: Point;
  readonly resync: Resync;
  /** Makes somebody come to the point. */
  readonly provoke: (world: SoakWorld, leader: SoakProcess) => Promise<unknown>;
};

const MAKING: readonly Making[] = [
  {
    point: 'judged',
    resync: 'never',
    provoke: async (world, leader) => {
      if (!standbyOf(world, leader)) throw new Error('no standby is left');
      leader.running.kill('SIGKILL');
    },
  },
  { point: 'slot made', resync: 'always', provoke: dropSlotByHand },
  {
    point: 'epoch opened',
    resync: 'always',
    provoke: (world) => world.redisCommand('flushall'),
  },
];

/** While the slot or the epoch is being made: whoever comes next finds one without the other. */
function crashWhileMaking({ point, resync, provoke }: Making): Fault {
  return {
    name: `crash at ${point}`,
    promises: ['G1', 'G5', 'G9'],
    resync,
    greenWithinMs: 45_000,
    fits: (world) => replicatorsOf(world).length >= 2,
    run: async (world) => {
      const leader = await findLeader(world);
      const epoch = await readEpoch(world);
      const ordered = replicatorsOf(world).map((process) => ({
        process,
        running: process.running,
      }));
      for (const { process } of ordered) order(process, point, 1, 'crash');
      await provoke(world, leader);
      await untilTrue(`somebody has died at ${point}`, () =>
        ordered.some(({ running }) => hasComeTo(running, point)),
      );
      const backMs = await untilApplied(world);
      const died = ordered.filter(({ running }) => hasComeTo(running, point));
      const isSame = (await readEpoch(world)) === epoch;
      if (isSame !== (resync === 'never'))
        throw new Error(`the epoch is ${isSame ? 'the same' : 'another'}`);
      return {
        says: `${died.map(({ process, running }) => `${process.name} (process ${running.pid})`).join(', ')} died at ${point}`,
        figures: { backMs: round(backMs) },
      };
    },
  };
}

export const CRASH_POINT_FAULTS: readonly Fault[] = [
  ...OF_A_BATCH.map(crashAt),
  ...OF_A_BATCH.map(stopAt),
  ...MAKING.map(crashWhileMaking),
];
