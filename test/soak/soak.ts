import { eventually } from '../support/eventually.ts';
import type { Ground } from '../support/servers.ts';
import { createAccounts } from './accounts.ts';
import { openCrowd, type Crowd } from './crowd.ts';
import type { Fault } from './faults/fault.ts';
import { Ledger } from './ledger.ts';
import { sampleMemory } from './memory.ts';
import { findMutations, type Mutation } from './mutations.ts';
import { randomOf } from './random.ts';
import { Pace } from './pace.ts';
import { findLists } from './readers.ts';
import { createRest } from './rest.ts';
import { GREEN_WAIT_MS, runRound, type Running } from './round.ts';
import { untilGreen } from './settle.ts';
import { Tally } from './tally.ts';
import { openTruth } from './truth.ts';
import { findNeverWorked } from './workload.ts';
import { openWorld } from './world.ts';

export type SoakOptions = {
  readonly ground: Ground;
  readonly seed: number;
  /** Rounds begin until then; the last one is finished. */
  readonly forMs: number;
  readonly roundsMax?: number;
  /** Work before the faults of a round, and after them. */
  readonly workMs: number;
  readonly faults: readonly Fault[];
  /** At most so many at once. */
  readonly faultsAtOnce: number;
  readonly replicators: number;
  readonly say: (line: string) => void;
  /** Ends it at once, with nothing left behind. */
  readonly signal?: AbortSignal;
};

export type Soaked = {
  readonly seed: number;
  readonly rounds: number;
  readonly minutes: number;
  readonly tally: Tally;
  /** What did not hold, in words; empty when everything did. */
  readonly failures: readonly string[];
};

/** By then each operation has had its turn many times. */
const ALL_WORKED_MS = 5 * 60_000;

/**
 * Rounds of work, faults and rest, until the time is over or something does not hold: then at once, with everything as it was
 * seen. @throws Error only when the world itself cannot be started.
 */
export async function runSoak(options: SoakOptions): Promise<Soaked> {
  const startedMs = performance.now();
  const random = randomOf(options.seed);
  const tally = new Tally();
  const log = (says: string): void =>
    options.say(`${((performance.now() - startedMs) / 1_000).toFixed(1)} s  ${says}`);
  const world = await openWorld({
    ground: options.ground,
    replicators: options.replicators,
    log,
  });
  const truth = openTruth(world.database.ownerUrl);
  const stopSampling = sampleMemory(world, tally);
  const stopped = untilAborted(options.signal);
  let crowd: Crowd | undefined;
  let rounds = 0;
  const failures: string[] = [];
  try {
    const accounts = await createAccounts(truth, world.secret);
    const ledger = new Ledger(accounts.flatMap(({ groups }) => groups));
    await untilGreen(world, GREEN_WAIT_MS);
    const mutations = new Map<number, readonly Mutation[]>();
    for (const account of accounts)
      mutations.set(account.id, await findMutations(world, account, random));
    const pace = new Pace(world, tally);
    const means = { world, ledger, pace, rest: createRest(world, random), random };
    const [first] = accounts;
    const lists = first ? await findLists(means, first) : [];
    const { faults, faultsAtOnce, workMs } = options;
    const chosen = { faults, faultsAtOnce, due: [], workMs };
    const running: Running = { ...means, ...chosen, truth, accounts, tally, mutations, lists };
    crowd = openCrowd(running);
    await untilLive(crowd);
    log(`${crowd.clients.length} clients of ${accounts.length} accounts are live`);
    const workingMs = performance.now();
    while (
      failures.length === 0 &&
      performance.now() - workingMs < options.forMs &&
      rounds < (options.roundsMax ?? Infinity)
    ) {
      rounds++;
      const round = runRound(running, crowd, { number: rounds, log });
      failures.push(...(await Promise.race([round, stopped])));
    }
    const isLong = performance.now() - workingMs > ALL_WORKED_MS;
    if (failures.length === 0 && isLong) failures.push(...findNeverWorked(tally));
  } finally {
    crowd?.close();
    stopSampling();
    await truth.close();
    await world.close();
  }
  const minutes = (performance.now() - startedMs) / 60_000;
  return { seed: options.seed, rounds, minutes, tally, failures };
}

/** Never resolves. @throws what it was aborted with. */
function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  // Nobody may be waiting for it just then.
  aborted.catch(() => undefined);
  return aborted;
}

function untilLive(crowd: Crowd): Promise<boolean> {
  return eventually(() => crowd.clients.every(({ isLive }) => isLive), {
    timeoutMs: GREEN_WAIT_MS,
    says: 'every client is live',
  });
}
