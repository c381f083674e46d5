import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Ends a process and its direct children with SIGKILL. Children are known on Linux; elsewhere they
 * notice.
 */
export function endChildren(pid: number): void {
  const children = findChildren(pid).map((child) => child.pid);
  for (const each of [pid, ...children]) {
    try {
      process.kill(each, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

/** Direct children with their command lines. Linux only; elsewhere none. */
export function findChildren(pid: number): { pid: number; command: string }[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && parentOf(Number(name)) === pid)
      .map((name) => ({ pid: Number(name), command: commandOf(name) }));
  } catch {
    return [];
  }
}

function commandOf(name: string): string {
  return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
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

/** In the environment of what a test file starts, and of what that starts: the file's path. */
export const TEST_FILE = 'CLARIN_TEST_FILE';

/** Where a run keeps its files: `<somewhere>/clarin-test-<process id of vitest>-...`. */
export function runDirectoryPrefix(pid: number): string {
  return `clarin-test-${pid}-`;
}

/**
 * What outlived this run: processes that carry its mark, and servers (they get an environment of
 * their own) that work in its directory. Not vitest's own. Linux only; elsewhere none.
 */
export function findLeaked(
  mark: string,
): { pid: number; command: string; file: string | undefined }[] {
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
      const isMarked = environment.includes(`${RUN_MARK}=${mark}`);
      const isInside = readlinkSync(`/proc/${name}/cwd`).includes(runDirectoryPrefix(process.pid));
      const command = commandOf(name);
      // Zombies have no command.
      const isOurs = command === '' || /vitest|esbuild/.test(command);
      if ((!isMarked && !isInside) || isOurs) return [];
      const file = environment.find((each) => each.startsWith(`${TEST_FILE}=`));
      return [
        {
          pid: Number(name),
          command: command.slice(0, 120),
          file: file?.slice(TEST_FILE.length + 1),
        },
      ];
    } catch {
      // Of another user, or gone.
      return [];
    }
  });
}
