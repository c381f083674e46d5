import type { Database } from '../../platform/postgres.ts';
import type { SoakAccount } from './accounts.ts';
import type { Crowd } from './crowd.ts';
import type { Fault, FaultReport } from './faults/fault.ts';
import { whatWasLate, type Taken } from './limits.ts';
import type { Mutation } from './mutations.ts';
import type { Pace } from './pace.ts';
import { judgePasts, notePasts } from './past.ts';
import { choosePaths, startReaders } from './readers.ts';
import { settle, untilGreen } from './settle.ts';
import type { Tally } from './tally.ts';
import type { Means } from './versions.ts';
import { startWorkload } from './workload.ts';

/** All that the rounds of one soak have in common. */
export type Running = Means & {
  readonly truth: Database;
  readonly accounts: readonly SoakAccount[];
  readonly tally: Tally;
  readonly pace: Pace;
  readonly mutations: ReadonlyMap<number, readonly Mutation[]>;
  readonly lists: readonly string[];
  readonly faults: readonly Fault[];
  /** At most so many at once. */
  readonly faultsAtOnce: number;
  /** Faults whose turn is to come. */
  readonly due: Fault[];
  /** Work before the faults of a round, and after them. */
  readonly workMs: number;
};

type Diary = (says: string) => void;

/** After this nobody waits any longer. What was promised is judged by what it took. */
export const GREEN_WAIT_MS = 300_000;

const WRITERS = 3;

/** Work, faults in the middle of it, and rest. Answers what did not hold. */
export async function runRound(
  running: Running,
  crowd: Crowd,
  { number, log }: { number: number; log: Diary },
): Promise<string[]> {
  const { tally, accounts, lists, pace, workMs } = running;
  const failures: string[] = [];
  const paths = new Map<number, readonly string[]>();
  for (const account of accounts) paths.set(account.id, await choosePaths(running, account, lists));
  crowd.stir();
  const workload = startWorkload({ ...running, writers: WRITERS });
  const readers = startReaders(running, paths);
  const chosen = chooseFaults(running);
  let pasts = notePasts([]);
  try {
    await pace.measure(workMs);
    log(`heartbeats take ${pace.says}`);
    log(`round ${number}: ${chosen.map(({ name }) => name).join(', ') || 'no fault'}`);
    pasts = notePasts(crowd.clients);
    const { why, taken } = await breakAndHeal(running, crowd, { chosen, log });
    failures.push(...why);
    await pace.measure(workMs);
    log(`heartbeats take ${pace.says}`);
    // By the machine of now: who slowed it down may have come in the middle.
    const late = whatWasLate(taken, pace.factor);
    if (late !== undefined) failures.push(late);
  } catch (error) {
    failures.push(String(error));
  }
  await workload.stop();
  await readers.stop();
  crowd.calm();
  try {
    if (failures.length === 0) failures.push(...(await settle(running, crowd, paths)));
    if (failures.length === 0)
      failures.push(...judgePasts(pasts, crowd.clients, { faults: chosen, tally }));
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

type End = { readonly why: readonly string[]; readonly taken: readonly Taken[] };

/** Until everything is green again by itself. */
async function breakAndHeal(
  running: Running,
  crowd: Crowd,
  { chosen, log }: { chosen: readonly Fault[]; log: Diary },
): Promise<End> {
  const { why, taken } = await injectAll(running, chosen, log);
  const greenMs = await untilGreen(running.world, GREEN_WAIT_MS, crowd.steady());
  for (const { name } of chosen) running.tally.note(`green after ${name}, ms`, greenMs);
  if (chosen.length === 0) return { why, taken };
  const green: Taken = {
    what: `green after ${chosen.map(({ name }) => name).join(', ')}`,
    ms: greenMs,
    // All of them are over: the slowest to heal is what is waited for.
    mostMs: Math.max(...chosen.map(({ greenWithinMs }) => greenWithinMs)),
    waitMs: 0,
  };
  return { why, taken: [...taken, green] };
}

/** What one fault hindered another in, or made late, is tried again alone: then it must go. */
async function injectAll(running: Running, chosen: readonly Fault[], log: Diary): Promise<End> {
  const ends = await Promise.all(chosen.map((fault) => inject(running, fault, log)));
  if (chosen.length < 2) return together(ends);
  for (const [index, fault] of chosen.entries()) {
    const end = ends[index];
    const why = end?.why[0] ?? whatWasLate(end?.taken ?? [], running.pace.factor);
    if (why === undefined) continue;
    log(`once more, alone: ${why}`);
    running.tally.add('faults hindered by others');
    await untilGreen(running.world, GREEN_WAIT_MS);
    ends[index] = await inject(running, fault, log);
  }
  return together(ends);
}

const together = (ends: readonly End[]): End => ({
  why: ends.flatMap(({ why }) => why),
  taken: ends.flatMap(({ taken }) => taken),
});

/** `why`: it could not be done, or what must follow at once did not. */
async function inject({ world, random, tally }: Running, fault: Fault, log: Diary): Promise<End> {
  try {
    const { says, figures = {} } = await fault.run(world, random);
    log(`${fault.name}: ${says} ${JSON.stringify(figures)}`);
    for (const [name, value] of Object.entries(figures))
      tally.note(`${fault.name}: ${name}`, value);
    return { why: [], taken: boundedFigures(fault, figures) };
  } catch (error) {
    const says = error instanceof Error ? error.message : String(error);
    return { why: [`${fault.name}: ${says}`], taken: [] };
  }
}

function boundedFigures(
  { name, bounds = {}, waits = {} }: Fault,
  figures: NonNullable<FaultReport['figures']>,
): Taken[] {
  return Object.entries(bounds).map(([figure, mostMs]) => ({
    what: `${name}: ${figure}`,
    // A figure that is not there is no proof of anything.
    ms: figures[figure] ?? Infinity,
    mostMs,
    waitMs: waits[figure] ?? 0,
  }));
}

/** One, or some that bear each other. Each fault comes once before any comes again: what is chosen is taken out of `due`. */
function chooseFaults({ faults, faultsAtOnce, world, random, due }: Running): Fault[] {
  const chosen: Fault[] = [];
  const count = 1 + random(faultsAtOnce);
  for (let tries = 0; tries < 20 && chosen.length < count; tries++) {
    if (due.length === 0) due.push(...faults);
    const fitting = due.filter((fault) => !chosen.includes(fault) && fault.fits(world));
    const fault = fitting[random(Math.max(1, fitting.length))];
    if (!fault) break;
    if (chosen.length > 0 && (fault.isAlone || chosen.some(({ isAlone }) => isAlone))) continue;
    chosen.push(fault);
    due.splice(due.indexOf(fault), 1);
  }
  return chosen;
}
