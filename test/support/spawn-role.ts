import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { findFreePort } from '../../platform/services/ports.ts';
import { endProcess, hasEnded, waitForExit } from '../../platform/services/processes.ts';
import { eventually } from './eventually.ts';

export type Role =
  | 'api'
  | 'ingest'
  | 'replicator'
  | 'gateway'
  | 'migrate'
  | 'slot'
  | 'verify'
  | 'dev';
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type RunningRole = {
  readonly pid: number;
  /** Of its HTTP server (API_PORT, FEED_PORT, ...), chosen when not given. */
  readonly port: number;
  readonly url: string;
  /** Its JSON log lines so far. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** Lines of standard output and error that are not JSON. */
  readonly text: readonly string[];
  readonly exited: Promise<Exit>;
  /**
   * Waits until /health/<probe> answers 200. @throws Error with its last lines when it ends or
   * takes too long.
   */
  waitUntil(probe: 'live' | 'ready', timeoutMs?: number): Promise<void>;
  kill(signal?: NodeJS.Signals): boolean;
  /** By the channel of its start: only programs of the tests listen to it. */
  send(message: object): void;
  /** SIGTERM, and SIGKILL after 15 s. */
  stop(): Promise<Exit>;
};

type Options = {
  /** More words of the command line: `['status']`. */
  parameters?: readonly string[];
  /**
   * What to wait for before it is returned. Default `ready`; `nothing` for commands that end by
   * themselves.
   */
  until?: 'live' | 'ready' | 'nothing';
  /** Another copy of the program than this checkout's. */
  program?: string;
};

const PORTS: Partial<Record<Role, string>> = {
  api: 'API_PORT',
  ingest: 'INGEST_PORT',
  replicator: 'FEED_PORT',
  gateway: 'GATEWAY_PORT',
};
const LINES_MAX = 10_000;
const PROGRAM = fileURLToPath(new URL('../../bin/clarin.mjs', import.meta.url));

/**
 * One role of the program as a process of its own, with nothing in its environment but PATH and
 * `environment`.
 */
export async function spawnRole(
  role: Role,
  environment: Readonly<Record<string, string | undefined>>,
  { parameters = [], until = 'ready', program = PROGRAM }: Options = {},
): Promise<RunningRole> {
  const variable = PORTS[role];
  const given = variable === undefined ? undefined : environment[variable];
  const port = given === undefined ? await findFreePort() : Number(given);
  const child = spawn(process.execPath, [program, role, ...parameters], {
    env: {
      ...inherited(),
      ...(variable !== undefined && { [variable]: String(port) }),
      ...environment,
    },
    // The channel ends with this process: a role left behind by a killed test stops by itself.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const running = follow(child, port);
  if (until !== 'nothing') {
    await running.waitUntil(until).catch(async (error: unknown) => {
      await running.stop();
      throw error;
    });
  }
  return running;
}

function follow(child: ChildProcess, port: number): RunningRole {
  const log: Record<string, unknown>[] = [];
  const text: string[] = [];
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', (error) => {
      text.push(error.message);
      resolve({ code: null, signal: null });
    });
  });
  for (const stream of [child.stdout, child.stderr]) if (stream) readLines(stream, log, text);
  const url = `http://127.0.0.1:${port}`;
  const lastLines = (): string =>
    [...log.slice(-5).map((line) => JSON.stringify(line)), ...text.slice(-5)].join('\n');
  return {
    pid: child.pid ?? -1,
    port,
    url,
    log,
    text,
    exited,
    waitUntil: async (probe, timeoutMs = 30_000) => {
      let ended = false;
      const check = async (): Promise<boolean> => {
        ended = hasEnded(child);
        if (ended) return true;
        const answer = await fetch(`${url}/health/${probe}`, {
          signal: AbortSignal.timeout(2_000),
        });
        if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
        return true;
      };
      await eventually(check, { timeoutMs, everyMs: 50, says: `${url} is ${probe}` }).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${lastLines()}`, { cause: error });
        },
      );
      if (ended) throw new Error(`it ended with ${JSON.stringify(await exited)}\n${lastLines()}`);
    },
    kill: (signal = 'SIGTERM') => child.kill(signal),
    send: (message) => void child.send(message, () => undefined),
    stop: async () => {
      child.kill('SIGCONT');
      await endProcess(child, 'SIGTERM', 15_000);
      await waitForExit(child, 1_000);
      return exited;
    },
  };
}

function readLines(stream: Readable, log: Record<string, unknown>[], text: string[]): void {
  createInterface({ input: stream }).on('line', (line) => {
    const parsed = parseObject(line);
    const list: unknown[] = parsed ? log : text;
    list.push(parsed ?? line);
    if (list.length > LINES_MAX) list.shift();
  });
}

function parseObject(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function inherited(): Record<string, string | undefined> {
  const { PATH, HOME, TMPDIR, CLARIN_TEST_RUN, CLARIN_TEST_FILE } = process.env;
  return { PATH, HOME, TMPDIR, CLARIN_TEST_RUN, CLARIN_TEST_FILE };
}
