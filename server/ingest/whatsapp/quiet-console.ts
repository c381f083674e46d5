import type { Log } from '../../../platform/log.ts';

/**
 * libsignal prints whole sessions, private keys included, to the console (`session_record.js`, `session_cipher.js`,
 * `session_builder.js` of libsignal 6.0.0). Nothing of ours writes there: from now on that is only a line in the log,
 * the same for all, and what was to be printed is dropped unread.
 */
export function quietConsole(log: Log): void {
  const say = (): void => log.debug('a library wrote to the console');
  for (const method of METHODS) globalThis.console[method] = say;
}

const METHODS = ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir', 'table'] as const;
