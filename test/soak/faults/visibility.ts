import { eventually } from '../../support/eventually.ts';
import type { Fault, SoakWorld } from './fault.ts';
import { aliveOf, letPass, round, untilApplied } from './seeing.ts';

async function setStandby(world: SoakWorld, name: string): Promise<void> {
  await world.sql(`alter system set synchronous_standby_names = '${name}'`);
  await world.sql('select pg_reload_conf()');
}

/**
 * Every commit hangs between its record in the WAL, which the slot shows at once, and the moment other sessions see it: hazard
 * H8, for all writers at a time. Nothing of them may be told or dropped from the cache before they are let go.
 */
const commitsInvisible: Fault = {
  name: 'commits invisible',
  promises: ['G3', 'G4', 'G6', 'G7'],
  resync: 'never',
  greenWithinMs: 30_000,
  isAlone: true,
  fits: () => true,
  run: async (world, random) => {
    const ms = 500 + random(6_000);
    let hanging = 0;
    await setStandby(world, 'nobody');
    try {
      await eventually(
        async () => {
          const [row] = await world.sql(
            `select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep'`,
          );
          hanging = Math.max(hanging, Number(row?.['n']));
          return hanging > 0;
        },
        { timeoutMs: 20_000, says: 'a commit hangs: are there writers?' },
      );
      await letPass(ms);
    } finally {
      await setStandby(world, '');
    }
    return {
      says: `${hanging} commits and those behind them were in the WAL and not visible for ${ms} ms`,
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

/** Readers whose answers of Redis are late: between looking and filling much is committed, applied and forgotten. */
const fillsLate: Fault = {
  name: 'fills late',
  promises: ['G3', 'G4'],
  resync: 'never',
  greenWithinMs: 20_000,
  fits: (world) => aliveOf(world, 'api').length > 0,
  run: async (world, random) => {
    const delayMs = 50 + random(700);
    const ms = 2_000 + random(4_000);
    const apis = aliveOf(world, 'api');
    for (const { links } of apis) links.redis.slow(delayMs);
    try {
      await letPass(ms);
    } finally {
      for (const { links } of apis) links.redis.heal();
    }
    return { says: `for ${ms} ms what ${apis.length} apis said to Redis was ${delayMs} ms late` };
  },
};

export const VISIBILITY_FAULTS: readonly Fault[] = [commitsInvisible, fillsLate];
