import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ClarinError } from '../../domain/errors.ts';
import type { Environment } from '../../platform/config.ts';
import { EXIT } from '../../platform/lifecycle.ts';
import { endProcess, hasEnded } from '../../platform/services/processes.ts';
import { CHECKOUT } from './data-directory.ts';

/**
 * Keeps one role alive. A role that ends is started again, after 250 ms to 10 s; whoever lived for
 * a minute begins at 250 ms again. One that ends for its configuration before it was ever ready
 * would do so for ever: `refused` tells.
 */
export type Supervised = {
  /** Rejects with the role's own sentence. Never resolves. */
  readonly refused: Promise<never>;
  /** From now on every end is a fault that a new start may heal. */
  settle(): void;
  stop(): Promise<void>;
};

type Options = {
  readonly role: string;
  readonly environment: Environment;
  readonly logFile: string;
  /** What a person in front of the terminal should read. */
  readonly say: (line: string) => void;
};

const DELAY_MIN_MS = 250;
const DELAY_MAX_MS = 10_000;
const SETTLED_MS = 60_000;
/** Roles give themselves ten seconds. */
const STOP_TIMEOUT_MS = 12_000;

/** Growing with each end in a row; anew after a long life. */
export function restartDelayMs(endsInARow: number): number {
  return Math.min(DELAY_MIN_MS * 2 ** endsInARow, DELAY_MAX_MS);
}

export function supervise(options: Options): Supervised {
  const log = createWriteStream(options.logFile, { flags: 'a', mode: 0o600 });
  log.on('error', () => undefined);
  let refuse: (reason: ClarinError) => void = () => undefined;
  const refused = new Promise<never>((_resolve, reject) => {
    refuse = reject;
  });
  // Whoever has become ready no longer listens.
  refused.catch(() => undefined);
  let isSettled = false;
  let isStopping = false;
  let endsInARow = 0;
  let timer: NodeJS.Timeout | undefined;
  let child: ChildProcess | undefined;

  const start = (): void => {
    const startedAt = performance.now();
    const output = launch(options, log);
    child = output.child;
    child.once('close', (code) => {
      if (isStopping) return;
      if (code === EXIT.configuration && !isSettled) {
        const sentence =
          output.sentence() ?? `The ${options.role} refuses to start: see ${options.logFile}.`;
        refuse(new ClarinError('configuration', sentence));
        return;
      }
      if (performance.now() - startedAt > SETTLED_MS) endsInARow = 0;
      const delayMs = restartDelayMs(endsInARow);
      endsInARow += 1;
      options.say(
        `[${options.role}] ended (${code ?? 'killed'}); starting it again in ${delayMs} ms`,
      );
      timer = setTimeout(start, delayMs);
    });
  };
  start();

  return {
    refused,
    settle: () => {
      isSettled = true;
    },
    stop: async () => {
      isStopping = true;
      clearTimeout(timer);
      if (child && !hasEnded(child)) await endProcess(child, 'SIGTERM', STOP_TIMEOUT_MS);
      log.end();
    },
  };
}

function launch(options: Options, log: WriteStream) {
  const child = spawn(process.execPath, [join(CHECKOUT, 'bin', 'clarin.mjs'), options.role], {
    cwd: CHECKOUT,
    env: { ...options.environment },
    // A session of its own: Ctrl-C reaches dev alone, which stops everything in order. The channel
    // tells the role when dev is gone.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  child.on('error', (error) => options.say(`[${options.role}] ${error.message}`));
  let sentence: string | undefined;
  readLines(child.stdout, (line) => {
    log.write(`${line}\n`);
    const worthSaying = summarise(line);
    if (worthSaying !== undefined) options.say(`[${options.role}] ${worthSaying}`);
  });
  readLines(child.stderr, (line) => {
    log.write(`${line}\n`);
    if (line.startsWith('clarin: ')) sentence = line.slice('clarin: '.length);
    else options.say(`[${options.role}] ${line}`);
  });
  return { child, sentence: () => sentence };
}

function readLines(stream: Readable | null, each: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on('line', each);
}

const LEVEL_WARN = 40;

/** Warnings and worse of a JSON log line, in words; undefined for what only the file needs. */
export function summarise(line: string): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return line === '' ? undefined : line;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { level, message, error } = parsed as Record<string, unknown>;
  if (typeof level !== 'number' || level < LEVEL_WARN) return undefined;
  const cause =
    typeof error === 'object' && error !== null && 'message' in error
      ? `: ${String(error.message)}`
      : '';
  return `${String(message)}${cause}`;
}
