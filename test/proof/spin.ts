import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const MODEL = 'docs/proof/clarin.pml';
/** Of one search; what is searched takes a tenth of it on a machine that does nothing else. */
const SEARCH_TIMEOUT_MS = 240_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** What the model prints begins so; the rest of a replay is spin's. */
const SAID = /^(commit|reader|replicator|Redis|Postgres|somebody|a minute|the entry|the account)\b/;

export type Search = {
  /** Every reachable state was visited: no hashing that may miss some, no bound that was hit. */
  readonly isExhaustive: boolean;
  readonly errors: number;
  /** The ghost that an assertion found set: stale, lost, deposed, unapplied, kept; undefined without a violation. */
  readonly violates: string | undefined;
  readonly states: number;
  readonly depth: number;
  readonly memoryMb: number;
  /** The shortest way to the violation, in the model's words; empty without one. */
  readonly trail: readonly string[];
};

/** Whether spin, the model checker (others bear the name), and a C compiler are installed. */
export async function hasSpin(): Promise<boolean> {
  try {
    const { stdout } = await run('spin', ['-V']);
    await run('gcc', ['--version']);
    return stdout.startsWith('Spin Version');
  } catch {
    return false;
  }
}

/**
 * Checks the model with these switches, in a directory of its own. Breadth first finds the shortest trail, and needs more
 * memory for a search that finds nothing. @throws when spin or gcc do not accept the model, or the search takes too long.
 */
export async function search(
  switches: readonly string[],
  order: 'depth first' | 'breadth first' = 'depth first',
): Promise<Search> {
  const directory = await mkdtemp(join(tmpdir(), 'clarin-spin-'));
  const options = { cwd: directory, timeout: SEARCH_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
  const defines = switches.map((name) => `-D${name}`);
  const isBreadthFirst = order === 'breadth first';
  try {
    await copyFile(MODEL, join(directory, 'clarin.pml'));
    await run('spin', [...defines, '-a', 'clarin.pml'], options);
    const flags = isBreadthFirst ? ['-O0', '-DBFS'] : ['-O1'];
    // Without partial order reduction: the state space as it is.
    await run('gcc', ['-w', ...flags, '-DSAFETY', '-DNOREDUCE', '-o', 'pan', 'pan.c'], options);
    const { stdout } = await run('nice', ['-n', '10', './pan', '-m100000', '-w23'], options);
    const violates = /assertion violated +!\((\w+)\)/.exec(stdout)?.[1];
    const trail = violates === undefined ? [] : await replay(defines, options);
    return { ...parse(stdout), violates, trail };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function parse(report: string): Omit<Search, 'violates' | 'trail'> {
  const number = (pattern: RegExp): number => Number(pattern.exec(report)?.[1] ?? Number.NaN);
  return {
    isExhaustive:
      report.includes('Full statespace search') &&
      !/Search not completed|Bit statespace|Hash-Compact|max search depth too small/.test(report),
    errors: number(/errors: (\d+)/),
    states: number(/^ *(\d+) states, stored/m),
    depth: number(/depth reached (\d+)/),
    memoryMb: number(/([\d.]+)\s+total actual memory usage/),
  };
}

type Options = { cwd: string; timeout: number; maxBuffer: number };

async function replay(defines: readonly string[], options: Options): Promise<string[]> {
  const { stdout } = await run('spin', [...defines, '-t', 'clarin.pml'], options);
  const lines = stdout.split('\n').map((line) => line.trim());
  return lines.filter((line) => SAID.test(line));
}
