import { eventually } from '../../support/eventually.ts';
import type { Fault, SoakWorld } from './fault.ts';
import {
  findLeader,
  isGreen,
  isLeased,
  letPass,
  readEpoch,
  readSlotRow,
  replicatorsOf,
  round,
  slotOf,
  untilApplied,
  untilTrue,
} from './seeing.ts';

/** Whoever reads it is ended, and before the next one comes the work is done: as often as it takes. */
async function whileUnread(world: SoakWorld, work: string): Promise<void> {
  await eventually(
    async () => {
      await world.sql(
        `select pg_terminate_backend(active_pid) from pg_replication_slots
         where slot_name = $1 and active_pid is not null`,
        [slotOf(world)],
      );
      await world.sql(work);
      return true;
    },
    { timeoutMs: 20_000, everyMs: 1, says: work },
  );
}

export const dropSlotByHand = (world: SoakWorld): Promise<void> =>
  whileUnread(world, `select pg_drop_replication_slot('${slotOf(world)}')`);

/** The moment from which health may not be green any more, until it says so. */
async function untilRed(world: SoakWorld): Promise<number> {
  return untilTrue('some replicator says red', async () => {
    const all = await Promise.all(replicatorsOf(world).map(isGreen));
    return all.includes(false);
  });
}

async function untilNewEpoch(world: SoakWorld, before: string | undefined): Promise<number> {
  return untilTrue('a new epoch begins', async () => {
    const now = await readEpoch(world);
    return now !== undefined && now !== before;
  });
}

type Tampering = {
  readonly name: string;
  readonly work: (world: SoakWorld) => Promise<void>;
};

const TAMPERINGS: readonly Tampering[] = [
  { name: 'slot dropped', work: dropSlotByHand },
  {
    name: 'slot advanced',
    // A commit goes by in any case, or there would be nothing to miss.
    work: async (world) =>
      whileUnread(
        world,
        `do $$ begin
           perform pg_logical_emit_message(true, 'soak', 'goes by');
           perform pg_replication_slot_advance('${slotOf(world)}', pg_current_wal_flush_lsn());
         end $$`,
      ),
  },
  {
    name: 'slot recreated',
    work: async (world) => {
      await dropSlotByHand(world);
      // Somebody of ours may have been quicker: then it is one that was made while commits went by, all the same.
      await world
        .sql(`select pg_create_logical_replication_slot('${slotOf(world)}', 'pgoutput')`)
        .catch(() => undefined);
    },
  },
];

function tampered({ name, work }: Tampering): Fault {
  return {
    name,
    promises: ['G1', 'G5', 'G9'],
    resync: 'always',
    greenWithinMs: 45_000,
    bounds: { detectedMs: 5_000 },
    fits: () => true,
    run: async (world) => {
      await findLeader(world);
      const epoch = await readEpoch(world);
      await work(world);
      const detectedMs = await untilNewEpoch(world, epoch);
      return {
        says: `${name}; epoch ${epoch} is ${await readEpoch(world)}, slot ${JSON.stringify(await readSlotRow(world))}`,
        figures: {
          detectedMs: round(detectedMs),
          backMs: round(detectedMs + (await untilApplied(world))),
        },
      };
    },
  };
}

/**
 * A transaction that stays open keeps the slot where it is, and the WAL behind the budget goes: nobody is paused, so this is
 * how soon a live system notices. Red first, then a new slot and a new epoch.
 */
const walBudgetSpent: Fault = {
  name: 'WAL budget spent',
  promises: ['G1', 'G5', 'G9'],
  resync: 'always',
  greenWithinMs: 60_000,
  bounds: { detectedMs: 5_000 },
  isAlone: true,
  fits: () => true,
  run: async (world) => {
    await findLeader(world);
    const epoch = await readEpoch(world);
    const holder = await world.session();
    try {
      await holder.query('begin');
      await holder.query('select txid_current()');
      await world.sql(`alter system set max_slot_wal_keep_size = '1MB'`);
      await world.sql('select pg_reload_conf()');
      await eventually(
        async () => {
          await world.sql(`select pg_logical_emit_message(false, 'soak', repeat('x', 100000))`);
          await world.sql('select pg_switch_wal()');
          await world.sql('checkpoint');
          const row = await readSlotRow(world);
          return (
            row === undefined || row['wal_status'] === 'lost' || (await readEpoch(world)) !== epoch
          );
        },
        { timeoutMs: 60_000, everyMs: 20, says: 'the slot is lost' },
      );
      const redMs = await untilRed(world);
      // A new slot waits for the transactions that are open.
      await holder.query('rollback');
      const detectedMs = redMs;
      const newEpochMs = redMs + (await untilNewEpoch(world, epoch));
      return {
        says: `the slot was lost; epoch ${epoch} is ${await readEpoch(world)}`,
        figures: { detectedMs: round(detectedMs), newEpochMs: round(newEpochMs) },
      };
    } finally {
      await holder.end();
      await world.sql('alter system reset max_slot_wal_keep_size');
      await world.sql('select pg_reload_conf()');
    }
  },
};

/** A reader of somebody's own on our slot: ours cannot read meanwhile, ends it and goes on; what it took is missed. */
const slotRead: Fault = {
  name: 'slot read by somebody else',
  promises: ['G1', 'G9'],
  resync: 'may',
  greenWithinMs: 45_000,
  fits: () => true,
  run: async (world, random) => {
    await findLeader(world);
    await whileUnread(
      world,
      `select count(*) from pg_logical_slot_get_binary_changes('${slotOf(world)}', null, null, 'proto_version', '1', 'publication_names', 'clarin')`,
    );
    await letPass(random(1_000));
    return {
      says: 'its changes were taken by another session',
      figures: { backMs: round(await untilApplied(world)), leased: Number(await isLeased(world)) },
    };
  },
};

export const SLOT_FAULTS: readonly Fault[] = [
  ...TAMPERINGS.map(tampered),
  walBudgetSpent,
  slotRead,
];
