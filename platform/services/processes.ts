import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';

/** An account of the operating system to run something as; undefined means oneself. */
export type ServiceUser = { readonly uid: number; readonly gid: number; readonly name: string };

export type RunOptions = {
  readonly user?: ServiceUser | undefined;
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs: number;
};

export type Finished = { readonly ok: boolean; readonly output: string };

const OUTPUT_CHARACTERS_MAX = 16_384;

/**
 * Runs a program to its end. Never throws: a program that cannot be started (no such file, EACCES
 * below a directory the user cannot enter) is one that failed, its reason in `output` with standard
 * output and error.
 */
export function runToEnd(
  command: string,
  parameters: readonly string[],
  options: RunOptions,
): Promise<Finished> {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(command, parameters, {
      cwd: options.cwd ?? '/',
      ...(options.environment && { env: options.environment }),
      ...(options.user && { uid: options.user.uid, gid: options.user.gid }),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    child.on('error', (error) => resolve({ ok: false, output: error.message }));
    child.on('close', (code) => resolve({ ok: code === 0, output: output.trim() }));
  });
}

/** True once the process has ended, false when it still runs after `timeoutMs`. */
export function waitForExit(child: ChildProcess, timeoutMs: number): Promise<boolean> {
  if (hasEnded(child)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.off('exit', ended);
      resolve(false);
    }, timeoutMs);
    const ended = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    child.once('exit', ended);
  });
}

/** Ended, or never started: a failed spawn has no process id and no exit. */
export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** Asks with `signal`, and kills when `timeoutMs` later the process still runs. */
export async function endProcess(
  child: ChildProcess,
  signal: NodeJS.Signals,
  timeoutMs: number,
): Promise<void> {
  if (hasEnded(child)) return;
  child.kill(signal);
  if (await waitForExit(child, timeoutMs)) return;
  child.kill('SIGKILL');
  await waitForExit(child, 5_000);
}

/** A process of another user counts as alive: it answers EPERM. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/**
 * A process' program and words, empty when it cannot be known. Slim containers have no `ps`, others
 * no /proc.
 */
export async function readCommandLine(pid: number): Promise<string> {
  const told = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
  if (told !== undefined) return told.replaceAll('\0', ' ').trim();
  const listed = await runToEnd('ps', ['-o', 'args=', '-p', String(pid)], { timeoutMs: 5_000 });
  return listed.ok ? listed.output : '';
}

export type Attempt<T> = { readonly value: T } | undefined;

/** Asks every `everyMs` until there is an answer; undefined after `timeoutMs`. */
export async function poll<T>(
  ask: () => Promise<Attempt<T>>,
  { timeoutMs, everyMs = 50 }: { timeoutMs: number; everyMs?: number },
): Promise<Attempt<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined || performance.now() >= deadline) return answer;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
