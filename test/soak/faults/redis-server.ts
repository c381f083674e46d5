import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Fault, SoakWorld } from './fault.ts';
import {
  findLeader,
  isLeased,
  letPass,
  readEpoch,
  round,
  untilApplied,
  untilTrue,
} from './seeing.ts';

async function readRunId(world: SoakWorld): Promise<string> {
  const info = String(await world.redisCommand('info', 'server'));
  return /run_id:(\w+)/.exec(info)?.[1] ?? '';
}

async function readNumber(world: SoakWorld, section: string, name: string): Promise<number> {
  const info = String(await world.redisCommand('info', section));
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
}

async function untilNewEpoch(world: SoakWorld, before: string | undefined): Promise<number> {
  return untilTrue('a new epoch begins', async () => {
    const now = await readEpoch(world);
    return now !== undefined && now !== before;
  });
}

/** Another process of Redis answers: whatever it holds, the past is over. */
function restarted(name: string, work: (world: SoakWorld, ms: number) => Promise<void>): Fault {
  return {
    name,
    promises: ['G4', 'G5', 'G7', 'G9'],
    resync: 'always',
    greenWithinMs: 45_000,
    isAlone: true,
    fits: () => true,
    run: async (world, random) => {
      await findLeader(world);
      const [epoch, runId] = [await readEpoch(world), await readRunId(world)];
      await work(world, random(4_000));
      const newEpochMs = await untilNewEpoch(world, epoch);
      const now = await readRunId(world);
      if (now === runId) throw new Error('it is the same Redis');
      return {
        says: `Redis ${runId.slice(0, 8)} is ${now.slice(0, 8)}, epoch ${epoch} is ${await readEpoch(world)}`,
        figures: {
          newEpochMs: round(newEpochMs),
          backMs: round(newEpochMs + (await untilApplied(world))),
        },
      };
    },
  };
}

/** It comes back with what it held a moment ago, the lease included. */
async function restartWithData(world: SoakWorld, ms: number): Promise<void> {
  const [, directory] = (await world.redisCommand('config', 'get', 'dir')) as [string, string];
  await world.redisCommand('save');
  // What is written between saving and ending is what a Redis that saves now and then loses.
  await letPass(ms / 4);
  await world.redis.stop();
  await world.redis.start();
  await rm(join(directory, 'dump.rdb'), { force: true });
}

const flushed: Fault = {
  name: 'Redis flushed',
  promises: ['G4', 'G5', 'G9'],
  resync: 'always',
  greenWithinMs: 30_000,
  fits: () => true,
  run: async (world) => {
    await findLeader(world);
    const epoch = await readEpoch(world);
    await world.redisCommand('flushall');
    const newEpochMs = await untilNewEpoch(world, epoch);
    return {
      says: `FLUSHALL; epoch ${epoch} is ${await readEpoch(world)}`,
      figures: {
        newEpochMs: round(newEpochMs),
        backMs: round(newEpochMs + (await untilApplied(world))),
      },
    };
  },
};

/** It keeps its connections and answers nothing. The lease in it does not die meanwhile; readers do not wait for it. */
function stopped(name: string, leastMs: number, belowMs: number): Fault {
  return {
    name,
    promises: ['G1', 'G4', 'G7', 'G9'],
    resync: 'never',
    greenWithinMs: 30_000,
    isAlone: true,
    fits: () => true,
    run: async (world, random) => {
      await findLeader(world);
      const epoch = await readEpoch(world);
      const ms = leastMs + random(belowMs - leastMs);
      await world.redis.pause();
      try {
        await letPass(ms);
      } finally {
        await world.redis.resume();
      }
      // An old lease is dead when its Redis wakes.
      const wasLeased = ms > 4_000 && (await isLeased(world));
      const backMs = await untilApplied(world);
      if ((await readEpoch(world)) !== epoch) throw new Error('a new epoch began');
      return {
        says: `Redis stood still for ${ms} ms${wasLeased ? ', its lease was renewed at once' : ''}`,
        figures: { backMs: round(backMs) },
      };
    },
  };
}

/** Nothing more fits: every write is refused, reads go on. */
const full: Fault = {
  name: 'Redis full',
  promises: ['G1', 'G6', 'G7', 'G9'],
  resync: 'never',
  greenWithinMs: 30_000,
  isAlone: true,
  fits: () => true,
  run: async (world, random) => {
    await findLeader(world);
    const epoch = await readEpoch(world);
    const ms = 1_000 + random(8_000);
    await world.redisCommand('config', 'set', 'maxmemory', 1);
    let leaseEndedMs = 0;
    try {
      const refusal = await world.redisCommand('set', 'soak:full', '1').catch(String);
      if (!String(refusal).includes('OOM'))
        throw new Error(`a write was taken: ${String(refusal)}`);
      leaseEndedMs = await untilTrue('the lease has ended', async () => !(await isLeased(world)));
      await letPass(ms);
    } finally {
      await world.redisCommand('config', 'set', 'maxmemory', 0);
    }
    const backMs = await untilApplied(world);
    if ((await readEpoch(world)) !== epoch) throw new Error('a new epoch began');
    return {
      says: `every write was refused for ${ms} ms`,
      figures: { leaseEndedMs: round(leaseEndedMs), backMs: round(backMs) },
    };
  },
};

/** Somebody lets it evict and fills it: anything may vanish, also what makes the rest true. */
const evicting: Fault = {
  name: 'Redis evicts',
  promises: ['G4', 'G5', 'G9'],
  resync: 'always',
  greenWithinMs: 30_000,
  isAlone: true,
  fits: () => true,
  run: async (world) => {
    await findLeader(world);
    const epoch = await readEpoch(world);
    const before = await readNumber(world, 'stats', 'evicted_keys');
    await world.redisCommand('config', 'set', 'maxmemory-policy', 'allkeys-random');
    let evicted = 0;
    try {
      const used = await readNumber(world, 'memory', 'used_memory');
      await world.redisCommand('config', 'set', 'maxmemory', used);
      const text = 'x'.repeat(10_000);
      await untilTrue('keys were evicted', async () => {
        for (let i = 0; i < 50; i++)
          await world.redisCommand('set', `soak:fill:${i}`, text).catch(() => undefined);
        evicted = (await readNumber(world, 'stats', 'evicted_keys')) - before;
        return evicted > 20;
      });
    } finally {
      await world.redisCommand('config', 'set', 'maxmemory', 0);
      await world.redisCommand('config', 'set', 'maxmemory-policy', 'noeviction');
    }
    const newEpochMs = await untilNewEpoch(world, epoch);
    return {
      says: `${evicted} keys were evicted; epoch ${epoch} is ${await readEpoch(world)}`,
      figures: {
        newEpochMs: round(newEpochMs),
        backMs: round(newEpochMs + (await untilApplied(world))),
      },
    };
  },
};

export const REDIS_SERVER_FAULTS: readonly Fault[] = [
  restarted('Redis restarted empty', async ({ redis }, ms) => {
    await redis.stop();
    await letPass(ms);
    await redis.start();
  }),
  restarted('Redis restarted with data', restartWithData),
  flushed,
  stopped('Redis stopped', 300, 8_000),
  stopped('Redis stopped for 30 s', 30_000, 30_001),
  full,
  evicting,
];
