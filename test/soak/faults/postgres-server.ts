import type { Fault, SoakWorld } from './fault.ts';
import { letPass, round, untilApplied, untilTrue } from './seeing.ts';

/** When the server that answers began: another one after each restart. */
async function readStart(world: SoakWorld): Promise<string> {
  const [row] = await world.sql('select pg_postmaster_start_time()::text as at');
  return String(row?.['at']);
}

const untilAnswers = (world: SoakWorld): Promise<number> =>
  untilTrue('Postgres answers', async () => (await readStart(world)) !== '');

function restarted(name: string, work: (world: SoakWorld, ms: number) => Promise<void>): Fault {
  return {
    name,
    promises: ['G1', 'G2', 'G5', 'G6', 'G9'],
    resync: 'never',
    greenWithinMs: 45_000,
    isAlone: true,
    fits: () => true,
    run: async (world, random) => {
      const before = await readStart(world);
      const ms = random(4_000);
      await work(world, ms);
      await untilAnswers(world);
      const after = await readStart(world);
      if (after === before) throw new Error('it is the same server');
      return {
        says: `Postgres of ${before} is one of ${after}`,
        figures: { backMs: round(await untilApplied(world)) },
      };
    },
  };
}

/** A backend killed from outside: the postmaster takes all the others down and recovers. */
const backendKilled: Fault = {
  name: 'walsender killed: Postgres recovers',
  promises: ['G1', 'G2', 'G5', 'G6'],
  resync: 'never',
  greenWithinMs: 45_000,
  isAlone: true,
  fits: () => true,
  run: async (world) => {
    await untilAnswers(world);
    const [row] = await world.sql(
      `select pid from pg_stat_replication where application_name like 'clarin replication%'`,
    );
    const pid = Number(row?.['pid'] ?? 0);
    if (pid <= 1) throw new Error('there was no walsender');
    process.kill(pid, 'SIGKILL');
    await untilTrue('Postgres has recovered', async () => {
      const [again] = await world.sql(
        `select count(*)::int as n from pg_stat_activity where pid = $1`,
        [pid],
      );
      return again?.['n'] === 0;
    });
    return {
      says: `backend ${pid} was killed, and Postgres recovered`,
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

export const POSTGRES_SERVER_FAULTS: readonly Fault[] = [
  restarted('Postgres restarted', async ({ postgres }) => postgres.restart('fast')),
  restarted('Postgres crashed', async ({ postgres }, ms) => {
    await postgres.stop('immediate');
    await letPass(ms);
    await postgres.start();
  }),
  restarted('Postgres killed', async ({ postgres }, ms) => {
    await postgres.kill();
    await letPass(ms);
    await postgres.start();
  }),
  backendKilled,
];
