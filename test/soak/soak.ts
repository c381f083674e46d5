import { eventually } from '../support/eventually.ts';
import type { Ground } from '../support/servers.ts';
import { createAccounts, type SoakAccount } from './accounts.ts';
import { openCrowd, type Crowd } from './crowd.ts';
import type { Fault } from './faults/fault.ts';
import { Ledger } from './ledger.ts';
import { sampleMemory } from './memory.ts';
import { findMutations, type Mutation } from './mutations.ts';
import { randomOf } from './random.ts';
import { choosePaths, findLists, startReaders } from './readers.ts';
import { createRest } from './rest.ts';
import { settle, untilGreen } from './settle.ts';
import { Tally } from './tally.ts';
import { openTruth } from './truth.ts';
import { startWorkload } from './workload.ts';
import { openWorld } from './world.ts';
import type { Means } from './versions.ts';

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

type Running = Means & {
  readonly options: SoakOptions;
  readonly truth: ReturnType<typeof openTruth>;
  readonly accounts: readonly SoakAccount[];
  readonly tally: Tally;
  readonly mutations: ReadonlyMap<number, readonly Mutation[]>;
  readonly lists: readonly string[];
  /** Faults whose turn is to come. */
  readonly due: Fault[];
};

/** For a machine that does much else besides: what it really took is in the table. */
const GREEN_MS = 180_000;

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
    await untilGreen(world, GREEN_MS);
    const mutations = new Map<number, readonly Mutation[]>();
    for (const account of accounts)
      mutations.set(account.id, await findMutations(world, account, random));
    const means = { world, ledger, rest: createRest(world, random), random };
    const [first] = accounts;
    const lists = first ? await findLists(means, first) : [];
    const running = { ...means, options, truth, accounts, tally, mutations, lists, due: [] };
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
    timeoutMs: GREEN_MS,
    says: 'every client is live',
  });
}

/** Answers what did not hold. */
async function runRound(
  running: Running,
  crowd: Crowd,
  { number, log }: { number: number; log: (says: string) => void },
): Promise<string[]> {
  const { options, world, tally, accounts, lists } = running;
  const failures: string[] = [];
  const paths = new Map<number, readonly string[]>();
  for (const account of accounts) paths.set(account.id, await choosePaths(running, account, lists));
  crowd.stir();
  const workload = startWorkload({ ...running, writers: 3 });
  const readers = startReaders(running, paths);
  await letPass(options.workMs);
  const chosen = chooseFaults(running);
  log(`round ${number}: ${chosen.map(({ name }) => name).join(', ') || 'no fault'}`);
  const within = Math.max(GREEN_MS, ...chosen.map(({ greenWithinMs }) => greenWithinMs));
  try {
    failures.push(...(await injectAll(running, chosen, { within, log })));
    const greenMs = await untilGreen(world, within);
    for (const { name } of chosen) tally.note(`green after ${name}, ms`, greenMs);
    await letPass(options.workMs);
  } catch (error) {
    failures.push(String(error));
  }
  await workload.stop();
  await readers.stop();
  crowd.calm();
  try {
    if (failures.length === 0) failures.push(...(await settle(running, crowd, paths)));
  } catch (error) {
    failures.push(`at rest: ${String(error)}`);
  }
  failures.push(...tally.broken.splice(0));
  if (failures.length === 0) {
    tally.add('rounds held');
    for (const { name, promises } of chosen) {
      tally.add(`survived ${name}`);
      for (const id of promises) tally.add(`faults of ${id}`);
    }
  }
  log(
    `round ${number}: ${failures.length === 0 ? 'holds' : 'FAILS'}, ${tally.count('events')} events, ${tally.count('versions compared')} versions read`,
  );
  return failures;
}

/** What one fault hindered another in is tried again alone: then it must go. Answers what did not. */
async function injectAll(
  running: Running,
  chosen: readonly Fault[],
  { within, log }: { within: number; log: (says: string) => void },
): Promise<string[]> {
  const ends = await Promise.all(chosen.map((fault) => inject(running, fault, log)));
  const failed = chosen.filter((_fault, index) => ends[index] !== undefined);
  if (chosen.length < 2) return ends.filter((end) => end !== undefined);
  const failures: string[] = [];
  for (const fault of failed) {
    log(`once more, alone: ${ends[chosen.indexOf(fault)] ?? ''}`);
    running.tally.add('faults hindered by others');
    await untilGreen(running.world, within);
    const end = await inject(running, fault, log);
    if (end !== undefined) failures.push(end);
  }
  return failures;
}

/** Answers why it could not be done, or what did not follow. */
async function inject(
  { world, random, tally }: Running,
  fault: Fault,
  log: (says: string) => void,
): Promise<string | undefined> {
  try {
    const { says, figures = {} } = await fault.run(world, random);
    log(`${fault.name}: ${says} ${JSON.stringify(figures)}`);
    for (const [name, value] of Object.entries(figures))
      tally.note(`${fault.name}: ${name}`, value);
    return undefined;
  } catch (error) {
    return `${fault.name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** One, or some that bear each other. Each fault comes once before any comes again: what is chosen is taken out of `due`. */
function chooseFaults({ options, world, random, due }: Running): Fault[] {
  const chosen: Fault[] = [];
  const count = 1 + random(options.faultsAtOnce);
  for (let tries = 0; tries < 20 && chosen.length < count; tries++) {
    if (due.length === 0) due.push(...options.faults);
    const fitting = due.filter((fault) => !chosen.includes(fault) && fault.fits(world));
    const fault = fitting[random(Math.max(1, fitting.length))];
    if (!fault) break;
    if (chosen.length > 0 && (fault.isAlone || chosen.some(({ isAlone }) => isAlone))) continue;
    chosen.push(fault);
    due.splice(due.indexOf(fault), 1);
  }
  return chosen;
}

const letPass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
