import type { UserFacingSocketConfig } from '@whiskeysockets/baileys';
import type { Log } from '../../../platform/log.ts';

type Logger = NonNullable<UserFacingSocketConfig['logger']>;

/** A message of Baileys' is a text of its source, or ends in what somebody sent: no more than this of it. */
const MESSAGE_MAX = 120;
const NUMBER_OR_ADDRESS = /\S+@\S+|\d{5,}/g;

/**
 * Baileys' log in ours. It is handed whole stanzas, keys and texts: nothing of its fields is written but the number of an
 * error and its name, and no address in a message. Warnings and errors only, whatever our level is.
 */
export function quietLogger(log: Log): Logger {
  const write =
    (level: 'warn' | 'error') =>
    (fields: unknown, message?: string): void => {
      const text = message ?? (typeof fields === 'string' ? fields : '');
      const says = text.replaceAll(NUMBER_OR_ADDRESS, '…').slice(0, MESSAGE_MAX);
      log[level === 'error' ? 'warn' : 'debug'](
        { baileys: level, says, ...aboutError(fields) },
        'Baileys says',
      );
    };
  const nothing = (): void => undefined;
  const logger: Logger = {
    // Asked by Baileys before it prints stanzas.
    level: 'warn',
    child: () => logger,
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: write('warn'),
    error: write('error'),
  };
  return logger;
}

function aboutError(fields: unknown): { errorName?: string; statusCode?: number } {
  if (typeof fields !== 'object' || fields === null) return {};
  const given = fields as { error?: unknown; err?: unknown; e?: unknown };
  const error = fields instanceof Error ? fields : (given.error ?? given.err ?? given.e);
  if (!(error instanceof Error)) return {};
  const statusCode = (error as { output?: { statusCode?: unknown } }).output?.statusCode;
  return { errorName: error.name, ...(typeof statusCode === 'number' ? { statusCode } : {}) };
}
