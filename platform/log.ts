import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import { standardOutput } from './log-output.ts';

export type Log = Logger;
export type Component =
  | 'api'
  | 'sync'
  | 'whatsapp'
  | 'feed'
  | 'replicator'
  | 'ingest'
  | 'migrate'
  | 'dev'
  | 'cache';

/** Fields that must never be written, wherever they stand one or two levels deep. */
const SECRETS = [
  'password',
  'new_password',
  'token',
  'access_token',
  'refresh_token',
  'authorization',
  'cookie',
  'secret',
  'password_hash',
  'set-cookie',
];

/**
 * Structured log, one JSON line per state change on standard output. Children carry `component`, and where they
 * are known `account` and `request`. `destination`: elsewhere.
 */
export function createLog(
  options: { component: Component; level: string },
  destination: DestinationStream = standardOutput(),
): Log {
  return pino(
    {
      level: options.level,
      base: { component: options.component },
      timestamp: () => `,"at":"${new Date().toISOString()}"`,
      messageKey: 'message',
      errorKey: 'error',
      serializers: { error: describeError },
      redact: {
        paths: SECRETS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]),
        censor: '[secret]',
      },
    },
    destination,
  );
}

/** What is written of an error besides its words. */
const TOLD = [
  'name',
  'code',
  'errno',
  'syscall',
  'status',
  'statusCode',
  'constraint',
  'table',
  'schema',
  'kind',
  'reason',
  'requestId',
  'untilMs',
];

/**
 * Libraries hang on their errors what they were at: Boom the stanza, Postgres the row that was refused, libsignal a key
 * and whose it is. Of all that only names and numbers are written, and what was caused by what stays in the stack.
 */
function describeError(given: unknown): unknown {
  if (!(given instanceof Error)) return given;
  const { type, message, stack } = stdSerializers.err(given);
  const told = Object.fromEntries(
    TOLD.flatMap((name) => {
      const value: unknown = (given as unknown as Record<string, unknown>)[name];
      return typeof value === 'string' || typeof value === 'number' ? [[name, value]] : [];
    }),
  );
  return { type, message, stack, ...told };
}
