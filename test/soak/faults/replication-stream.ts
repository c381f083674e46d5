import type { Fault } from './fault.ts';
import { findLeader, letPass, readSlotRow, round, untilApplied } from './seeing.ts';

const walsenderTerminated: Fault = {
  name: 'walsender terminated',
  promises: ['G1', 'G2', 'G6'],
  resync: 'never',
  greenWithinMs: 20_000,
  fits: () => true,
  run: async (world, random) => {
    await findLeader(world);
    const pids: number[] = [];
    for (let left = 1 + random(3); left > 0; left--) {
      const [row] = await world.sql(
        `select pid, pg_terminate_backend(pid) as ended from pg_stat_replication
         where application_name like 'clarin replication%'`,
      );
      if (row) pids.push(Number(row['pid']));
      await letPass(random(1_000));
    }
    if (pids.length === 0) throw new Error('there was no walsender');
    return {
      says: `walsenders ${pids.join(', ')} were terminated; the slot: ${JSON.stringify(await readSlotRow(world))}`,
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

/** As when a pooler or a fail-over drops everybody: lock, gate, walsender, heartbeat, readers and writers. */
const everySessionTerminated: Fault = {
  name: 'every session terminated',
  promises: ['G1', 'G2', 'G6', 'G9'],
  resync: 'never',
  greenWithinMs: 30_000,
  fits: () => true,
  run: async (world) => {
    const rows = await world.sql(
      `select pid, pg_terminate_backend(pid) as ended from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );
    if (rows.length === 0) throw new Error('there was no session');
    return {
      says: `${rows.length} sessions were terminated`,
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

export const REPLICATION_STREAM_FAULTS: readonly Fault[] = [
  walsenderTerminated,
  everySessionTerminated,
];
