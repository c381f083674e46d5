import { setTimeout as sleep } from 'node:timers/promises';
import { ClarinError } from '../domain/errors.ts';
import type { Log } from './log.ts';

/** Something started that can be stopped once, within a deadline. */
export type Running = { stop(): Promise<void> };

/**
 * Does a round, waits, and again, until stopped; a round under way is awaited. What a round throws is for `onError`:
 * the next one comes all the same, for as long as the process lives.
 */
export function startRounds(options: {
  everyMs: number;
  round: (signal: AbortSignal) => Promise<unknown>;
  onError: (error: unknown) => void;
}): Running {
  const stopping = new AbortController();
  const { signal } = stopping;
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await options.round(signal).catch((error: unknown) => {
        if (!signal.aborted) options.onError(error);
      });
      await sleep(options.everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  };
  const done = run();
  return {
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}

/** Which faults that nobody handles do not end the process. */
export type Forgiving = { readonly forgives?: (error: unknown) => boolean };

/** Without the message: it may hold what somebody wrote. */
function whereOf(error: unknown): { errorName: string; at: string[] } {
  const { name, stack = '' } = error instanceof Error ? error : new Error('not an error');
  const at = stack.split('\n').filter((line) => line.startsWith('    at '));
  return { errorName: name, at: at.slice(0, 8).map((line) => line.trim()) };
}

const STOP_DEADLINE_MS = 10_000;

/** Exit codes: 0 stopped as asked, 1 configuration, 2 an unexpected fault, 75 restart me (as in sysexits, EX_TEMPFAIL). */
export const EXIT = { ok: 0, configuration: 1, fault: 2, restart: 75 } as const;

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof ClarinError)) return EXIT.fault;
  if (error.code === 'configuration' || error.code === 'replication_drift')
    return EXIT.configuration;
  return error.code === 'internal' ? EXIT.fault : EXIT.restart;
}

/**
 * Runs one role until SIGTERM or SIGINT, then stops it within ten seconds. A start that fails prints one sentence
 * and exits; a fault nobody handled is logged once and ends the process: the supervisor starts a clean one. But for
 * rejections that what was started forgives: a library's, about one of many things that the process is at.
 */
export async function runUntilStopped(
  log: Log,
  start: (signal: AbortSignal) => Promise<Running & Forgiving>,
): Promise<never> {
  const stopping = new AbortController();
  const asked = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stopping.abort());
  // From the moment it was asked, also while it still starts: a start may wait for what will never come.
  stopping.signal.addEventListener('abort', () => {
    setTimeout(() => {
      log.error('did not stop in time');
      process.exit(EXIT.fault);
    }, STOP_DEADLINE_MS).unref();
  });
  let running: (Running & Forgiving) | undefined;
  const crash = (error: unknown): never => {
    log.fatal({ error }, 'unhandled fault');
    process.exit(exitCodeOf(error));
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', (error) => {
    if (!running?.forgives?.(error)) return crash(error);
    log.error(whereOf(error), 'a library left a fault unhandled: this process goes on');
  });
  try {
    running = await start(stopping.signal);
  } catch (error) {
    if (stopping.signal.aborted) process.exit(EXIT.ok);
    const sentence = error instanceof Error ? error.message : String(error);
    log.fatal({ error }, 'cannot start');
    process.stderr.write(`clarin: ${sentence}\n`);
    process.exit(exitCodeOf(error));
  }
  await asked;
  await running.stop();
  process.exit(EXIT.ok);
}
