import { readdirSync, readFileSync } from 'node:fs';

/** Ends a process and its direct children with SIGKILL. Children are known on Linux; elsewhere they notice. */
export function endChildren(pid: number): void {
  const children = childrenOf(pid);
  for (const each of [pid, ...children]) {
    try {
      process.kill(each, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((each) => parentOf(each) === pid);
  } catch {
    return [];
  }
}

function parentOf(pid: number): number | undefined {
  try {
    // The name in parentheses may hold anything; the parent is the second field behind it.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

/** Every process started by a test says so in its environment, inherited from the test run. */
export const RUN_MARK = 'CLARIN_TEST_RUN';

/** Processes that carry the mark of this run, apart from vitest's own. Linux only; elsewhere none. */
export function findLeaked(mark: string): { pid: number; command: string }[] {
  let names: string[];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    if (Number(name) === process.pid) return [];
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      if (!environment.includes(`${RUN_MARK}=${mark}`)) return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const isOurs = command === '' || /vitest|esbuild/.test(command);
      return isOurs ? [] : [{ pid: Number(name), command: command.slice(0, 120) }];
    } catch {
      // Of another user, or gone.
      return [];
    }
  });
}
