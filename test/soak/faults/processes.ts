import type { Fault, SoakProcess, SoakWorld } from './fault.ts';
import {
  aliveOf,
  countLines,
  findLeader,
  isLeased,
  letPass,
  readTerm,
  replicatorsOf,
  round,
  slotOf,
  standbyOf,
  untilApplied,
  untilTrue,
} from './seeing.ts';

const STEPPED_DOWN = 'no longer leader';

/** Sends it and sees the process end, whatever it says of itself. */
async function end(process: SoakProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<string> {
  const { running } = process;
  running.kill(signal);
  const exit = await running.exited;
  return `${process.name} (process ${running.pid}) ended by ${exit.signal ?? `code ${exit.code}`}`;
}

function leaderEnded(name: string, signal: 'SIGKILL' | 'SIGTERM'): Fault {
  return {
    name,
    promises: ['G1', 'G2', 'G5', 'G6', 'G9'],
    resync: 'never',
    greenWithinMs: 30_000,
    bounds: { takeoverMs: 2_000 },
    fits: (world) => replicatorsOf(world).length >= 2,
    run: async (world) => {
      const leader = await findLeader(world);
      const says = await end(leader, signal);
      // From its end until a commit that came after it is applied by another one.
      return { says, figures: { takeoverMs: round(await untilApplied(world)) } };
    },
  };
}

const everyReplicatorKilled: Fault = {
  name: 'every replicator killed',
  promises: ['G1', 'G5', 'G6', 'G7'],
  resync: 'never',
  greenWithinMs: 45_000,
  fits: (world) => replicatorsOf(world).length >= 1,
  run: async (world) => {
    const says = await Promise.all(replicatorsOf(world).map((process) => end(process, 'SIGKILL')));
    return { says: says.join('; '), figures: { backMs: round(await untilApplied(world)) } };
  },
};

const standbyKilled: Fault = {
  name: 'standby killed',
  promises: ['G1', 'G9'],
  resync: 'never',
  greenWithinMs: 30_000,
  fits: (world) => replicatorsOf(world).length >= 2,
  run: async (world) => {
    const leader = await findLeader(world);
    const standby = standbyOf(world, leader);
    if (!standby) throw new Error('no standby is left');
    const says = await end(standby, 'SIGKILL');
    return { says, figures: { undisturbedMs: round(await untilApplied(world)) } };
  },
};

/** A leader that is paused loses the leadership; what it does when it wakes is refused. */
const leaderStopped: Fault = {
  name: 'leader stopped and woken',
  promises: ['G1', 'G2', 'G4', 'G7'],
  resync: 'never',
  greenWithinMs: 30_000,
  // The beat lives 3 s, the standby waits 3 s more, and asks every quarter of a second.
  bounds: { takeoverAfterStopMs: 8_000, leaseAfterStopMs: 3_200 },
  waits: { takeoverAfterStopMs: 6_000, leaseAfterStopMs: 3_000 },
  fits: (world) => replicatorsOf(world).length >= 2,
  run: async (world, random) => {
    const leader = await findLeader(world);
    const { running } = leader;
    const before = await readTerm(world);
    const steppedDown = countLines(leader, STEPPED_DOWN);
    running.kill('SIGSTOP');
    try {
      const leaseAfterStopMs = await untilTrue('the lease has ended', async () => {
        return !(await isLeased(world)) || (await readTerm(world)) > before;
      });
      const takeoverAfterStopMs = leaseAfterStopMs + (await untilApplied(world));
      const term = await readTerm(world);
      if (term <= before) throw new Error(`the term is still ${term}`);
      await letPass(random(3_000));
      running.kill('SIGCONT');
      await untilTrue(
        'the one that was stopped has stepped down, or ended',
        () => countLines(leader, STEPPED_DOWN) > steppedDown || leader.running !== running,
      );
      if ((await readTerm(world)) !== term) throw new Error('it has raised the term again');
      return {
        says: `${leader.name} (process ${running.pid}) stood still and stepped down on waking; term ${before} to ${term}`,
        figures: {
          takeoverAfterStopMs: round(takeoverAfterStopMs),
          leaseAfterStopMs: round(leaseAfterStopMs),
        },
      };
    } finally {
      running.kill('SIGCONT');
    }
  },
};

/** Shorter and longer than a lease, and all of them at once: who wakes first finds what the others think of it. */
const everyReplicatorStopped: Fault = {
  name: 'every replicator stopped',
  promises: ['G4', 'G7'],
  resync: 'never',
  greenWithinMs: 45_000,
  fits: (world) => replicatorsOf(world).length >= 1,
  run: async (world, random) => {
    const stopped = replicatorsOf(world).map((process) => process.running);
    const ms = 500 + random(9_000);
    for (const running of stopped) running.kill('SIGSTOP');
    try {
      await letPass(ms);
      if (ms > 4_000 && (await isLeased(world))) throw new Error('the lease is alive');
    } finally {
      for (const running of stopped) running.kill('SIGCONT');
    }
    return {
      says: `processes ${stopped.map(({ pid }) => pid).join(', ')} stood still for ${ms} ms`,
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

/** The connection that holds the lock is taken away again and again: replicators lead by turns and fight for the slot. */
const fight: Fault = {
  name: 'replicators fight',
  promises: ['G1', 'G2', 'G4', 'G6'],
  resync: 'never',
  greenWithinMs: 45_000,
  fits: (world) => replicatorsOf(world).length >= 2,
  run: async (world, random) => {
    const before = await readTerm(world);
    const turns = 4 + random(4);
    let ended = 0;
    for (let turn = 0; turn < turns; turn++) {
      const rows = await world.sql(
        `select pg_terminate_backend(locks.pid) as ended
         from pg_locks as locks join pg_stat_activity as activity using (pid)
         where locks.locktype = 'advisory' and locks.granted and activity.application_name = $1`,
        [`clarin leader ${slotOf(world)}`],
      );
      ended += rows.length;
      await letPass(random(1_500));
    }
    const backMs = await untilApplied(world);
    const term = await readTerm(world);
    if (ended === 0 || term <= before)
      throw new Error(`nobody fought: ${ended} locks, term ${term}`);
    return {
      says: `${ended} times the lock was taken away; term ${before} to ${term}`,
      figures: { backMs: round(backMs) },
    };
  },
};

function serverEnded(role: 'api' | 'gateway', signal: 'SIGKILL' | 'SIGTERM'): Fault {
  return {
    name: `${role} ${signal === 'SIGKILL' ? 'killed' : 'told to stop'}`,
    promises: role === 'api' ? ['G3', 'G4'] : ['G1', 'G2', 'G5'],
    resync: 'never',
    greenWithinMs: 30_000,
    fits: (world) => aliveOf(world, role).length >= 1,
    run: async (world, random) => ({ says: await end(choose(world, role, random), signal) }),
  };
}

/** Between a read of the cache and its fill, for longer than a tombstone's half life if need be: it fills late. */
function serverStopped(role: 'api' | 'gateway'): Fault {
  return {
    name: `${role} stopped`,
    promises: role === 'api' ? ['G4'] : ['G1', 'G5', 'G10'],
    resync: 'never',
    greenWithinMs: 30_000,
    fits: (world) => aliveOf(world, role).length >= 1,
    run: async (world, random) => {
      const { running, name } = choose(world, role, random);
      const ms = 200 + random(6_000);
      running.kill('SIGSTOP');
      try {
        await letPass(ms);
      } finally {
        running.kill('SIGCONT');
      }
      return { says: `${name} (process ${running.pid}) stood still for ${ms} ms` };
    },
  };
}

function choose(
  world: SoakWorld,
  role: SoakProcess['role'],
  random: (below: number) => number,
): SoakProcess {
  const alive = aliveOf(world, role);
  const chosen = alive[random(alive.length)];
  if (!chosen) throw new Error(`no ${role} is alive`);
  return chosen;
}

export const PROCESS_FAULTS: readonly Fault[] = [
  leaderEnded('leader killed', 'SIGKILL'),
  leaderEnded('leader told to stop', 'SIGTERM'),
  standbyKilled,
  everyReplicatorKilled,
  leaderStopped,
  everyReplicatorStopped,
  fight,
  serverEnded('api', 'SIGKILL'),
  serverEnded('api', 'SIGTERM'),
  serverStopped('api'),
  serverEnded('gateway', 'SIGKILL'),
  serverEnded('gateway', 'SIGTERM'),
  serverStopped('gateway'),
];
