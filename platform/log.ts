import { pino, type Logger } from 'pino';

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
 * are known `account` and `request`.
 */
export function createLog(options: { component: Component; level: string }): Log {
  return pino({
    level: options.level,
    base: { component: options.component },
    timestamp: () => `,"at":"${new Date().toISOString()}"`,
    messageKey: 'message',
    errorKey: 'error',
    redact: {
      paths: SECRETS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]),
      censor: '[secret]',
    },
  });
}
