import type { Fault, FaultReport, SoakProcess, SoakWorld } from './fault.ts';
import {
  aliveOf,
  findLeader,
  isLeased,
  letPass,
  readTerm,
  replicatorsOf,
  round,
  untilApplied,
  untilTrue,
} from './seeing.ts';

/**
 * Connections that are dead and do not know it. Whose they were has no reason to look: it must notice by what does not
 * come. What it notices by may take a while (a walsender may be silent for half of wal_sender_timeout); readers have stopped
 * trusting the cache long before.
 */
type HalfOpen = {
  readonly name: string;
  readonly greenWithinMs: number;
  /** Answers how many connections it was that died. */
  readonly freeze: (leader: SoakProcess) => number;
};

const OF_A_LEADER: readonly HalfOpen[] = [
  {
    name: 'replication connection half open',
    greenWithinMs: 60_000,
    freeze: (leader) => leader.links.postgres.freeze('replication'),
  },
  {
    name: 'Postgres connections of the leader half open',
    greenWithinMs: 60_000,
    freeze: (leader) => leader.links.postgres.freeze(),
  },
  {
    name: 'Redis connections of the leader half open',
    greenWithinMs: 30_000,
    freeze: (leader) => leader.links.redis.freeze(),
  },
];

/** Watches from now on how long the lease is there without anything being applied behind it. */
async function untilUnleased(world: SoakWorld, before: number): Promise<number> {
  return untilTrue('the lease has ended, or another one leads', async () => {
    return !(await isLeased(world)) || (await readTerm(world)) > before;
  });
}

function leaderHalfOpen({ name, greenWithinMs, freeze }: HalfOpen): Fault {
  return {
    name,
    promises: ['G1', 'G4', 'G6', 'G7', 'G9'],
    resync: 'never',
    greenWithinMs,
    bounds: { leaseEndedMs: 3_300 },
    waits: { leaseEndedMs: 3_000 },
    fits: (world) => replicatorsOf(world).length >= 1,
    run: async (world) => {
      const leader = await findLeader(world);
      const before = await readTerm(world);
      const dead = freeze(leader);
      if (dead === 0) throw new Error('there was no connection');
      const startedMs = performance.now();
      const leaseEndedMs = await untilUnleased(world, before);
      // Nothing is healed: both sides find their way around what is dead.
      await untilApplied(world, 90_000);
      return {
        says: `${dead} connections of ${leader.name} went half open; term ${before} to ${await readTerm(world)}`,
        figures: {
          leaseEndedMs: round(leaseEndedMs),
          backMs: round(performance.now() - startedMs),
        },
      };
    },
  };
}

/** The replicators are well: a server behind dead connections to Redis finds new ones, and what it missed. */
const gatewayHalfOpen: Fault = {
  name: 'Redis connections of a gateway half open',
  promises: ['G1', 'G2', 'G5', 'G9'],
  resync: 'never',
  greenWithinMs: 30_000,
  fits: (world) => aliveOf(world, 'gateway').length > 0,
  run: async (world, random) => {
    const gateway = await anyOf('gateway')(world, random);
    const dead = gateway.links.redis.freeze();
    if (dead === 0) throw new Error('there was no connection');
    const noticedMs = await untilTrue(
      'it has connected anew',
      () => gateway.links.redis.open > dead,
    );
    return {
      says: `${dead} connections of ${gateway.name} to Redis went half open`,
      figures: { noticedMs: round(noticedMs) },
    };
  },
};

/** A whole service out of reach for one process, new connections too, then there again. */
function unreachable(
  name: string,
  choose: (world: SoakWorld, random: (below: number) => number) => Promise<SoakProcess>,
  { service, how }: { service: 'postgres' | 'redis'; how: 'darken' | 'cut' },
): Fault {
  return {
    name,
    promises: ['G1', 'G4', 'G7', 'G9'],
    resync: 'never',
    greenWithinMs: 60_000,
    fits: (world) => replicatorsOf(world).length >= 1,
    run: async (world, random): Promise<FaultReport> => {
      const process = await choose(world, random);
      const link = process.links[service];
      const ms = 1_000 + random(9_000);
      const open = link.open;
      link[how]();
      try {
        await letPass(ms);
      } finally {
        link.heal();
      }
      return {
        says: `${process.name} could not reach ${service} for ${ms} ms (${open} connections ${how === 'cut' ? 'cut' : 'dead'})`,
        figures: { backMs: round(await untilApplied(world)) },
      };
    },
  };
}

const leader = (world: SoakWorld): Promise<SoakProcess> => findLeader(world);
const anyOf =
  (role: SoakProcess['role']) =>
  async (world: SoakWorld, random: (below: number) => number): Promise<SoakProcess> => {
    const alive = aliveOf(world, role);
    const chosen = alive[random(alive.length)];
    if (!chosen) throw new Error(`no ${role} is alive`);
    return chosen;
  };

export const HALF_OPEN_FAULTS: readonly Fault[] = [
  ...OF_A_LEADER.map(leaderHalfOpen),
  gatewayHalfOpen,
  unreachable('leader cut from Postgres', leader, { service: 'postgres', how: 'cut' }),
  unreachable('leader in the dark about Postgres', leader, { service: 'postgres', how: 'darken' }),
  unreachable('leader cut from Redis', leader, { service: 'redis', how: 'cut' }),
  unreachable('leader in the dark about Redis', leader, { service: 'redis', how: 'darken' }),
  unreachable('api in the dark about Redis', anyOf('api'), { service: 'redis', how: 'darken' }),
  unreachable('gateway in the dark about Redis', anyOf('gateway'), {
    service: 'redis',
    how: 'darken',
  }),
];
