import { randomUUID } from 'node:crypto';
import { startRounds, type Running } from '../../platform/lifecycle.ts';
import { claimImport } from '../commands/lease-import.ts';
import { runImport, type ImportMeans } from './run-import.ts';

/** Between two looks for an import: so long a person waits for the first rows. One look is one index. */
const ROUND_MS = 1_000;

/**
 * Imports files until stopped, one after the other, the oldest first. Any number of workers may run: an import is with
 * one of them, and with another after its lease is over.
 */
export function startImports(means: ImportMeans): Running {
  const worker = `${process.pid} ${randomUUID()}`;
  return startRounds({
    everyMs: ROUND_MS,
    round: (signal) => runAll(means, worker, signal),
    onError: (error) => means.log.warn({ error }, 'importing failed'),
  });
}

/** Every import that waits; gives how many were tried. */
export async function runAll(
  means: ImportMeans,
  worker: string,
  signal: AbortSignal,
): Promise<number> {
  for (let tried = 0; ; tried++) {
    const { value: claimed } = await means.database.transaction((tx) => claimImport(tx, worker), {
      origin: { source: 'import' },
      signal,
    });
    if (!claimed) return tried;
    await runImport(means, claimed, signal);
    if (signal.aborted) return tried;
  }
}
