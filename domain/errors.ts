/**
 * The catalogue of errors. A code decides HTTP status, log level and whether a retry can help; each has three
 * sentences: what it means, when it is normal, what to do. Codes are never reused for something else.
 */
type Level = 'debug' | 'info' | 'warn' | 'error' | 'fatal';
type Entry = {
  status: number;
  level: Level;
  retry: boolean;
  means: string;
  normal: string;
  act: string;
};

const entry = (
  [status, level, retry]: [number, Level, boolean],
  ...[means, normal, act]: [means: string, normal: string, act: string]
): Entry => ({ status, level, retry, means, normal, act });

export const ERRORS = {
  invalid_request: entry(
    [400, 'info', false],
    'A parameter or a member of the body is not what the route takes.',
    'While a client is being written.',
    'Read `details`: it names each field and why.',
  ),
  unauthenticated: entry(
    [401, 'info', false],
    'There is no valid token, or its session is over.',
    'When a token has expired or somebody logged out.',
    'Refresh the token; if that is refused too, log in.',
  ),
  invalid_credentials: entry(
    [401, 'info', false],
    'Username and password do not match an active user.',
    'People mistype.',
    'Try again; after five failures the user is locked for a while.',
  ),
  token_reused: entry(
    [401, 'warn', false],
    'A refresh token was used a second time; its whole family is revoked.',
    'When a client lost the answer of a refresh; otherwise somebody has a copy.',
    'Log in again. If it repeats, look for the copy.',
  ),
  locked_out: entry(
    [429, 'warn', true],
    'Too many failed logins of this user.',
    'Somebody forgot a password, or somebody guesses.',
    'Wait for the seconds in Retry-After.',
  ),
  forbidden: entry(
    [403, 'info', false],
    'The role does not include the permission this needs.',
    'When a role was narrowed while a page was open.',
    'Ask an administrator of the account.',
  ),
  not_found: entry(
    [404, 'info', false],
    'There is no such row in this account, or no such route.',
    'Rows get deleted; ids of other accounts look the same as none.',
    'Read the list again.',
  ),
  conflict: entry(
    [409, 'info', false],
    'Another row already has this value, or rows still point to this one.',
    'Two people work on the same thing.',
    'Read `details` and choose another value or remove what points here.',
  ),
  precondition_failed: entry(
    [412, 'info', false],
    'The row changed since the version named in If-Match.',
    'Two people edit the same row.',
    'Read it again, apply the change, send the new ETag.',
  ),
  too_large: entry(
    [413, 'info', false],
    'The body is too large.',
    'Never with our own clients.',
    'Send less at a time.',
  ),
  unprocessable: entry(
    [422, 'info', false],
    'The request is well formed, but a rule of the domain forbids it.',
    'Rules are enforced by the database, whoever writes.',
    'Read the message: it names the rule.',
  ),
  idempotency_mismatch: entry(
    [422, 'warn', false],
    'This Idempotency-Key was used with another request.',
    'Never: a client makes one key per intent.',
    'Use a new key.',
  ),
  rate_limited: entry(
    [429, 'info', true],
    'Too many requests.',
    'Loops in clients.',
    'Wait for the seconds in Retry-After.',
  ),
  timeout: entry(
    [503, 'warn', true],
    'The database did not answer in time; nothing was written.',
    'Under overload or while a lock is held.',
    'Try again; writes with the same Idempotency-Key.',
  ),
  unavailable: entry(
    [503, 'error', true],
    'A service this needs is not reachable.',
    'While Postgres restarts.',
    'Try again; look at /health/ready.',
  ),
  internal: entry(
    [500, 'error', false],
    'A fault of ours.',
    'Never.',
    'Report the request id; the log has the rest.',
  ),
  configuration: entry(
    [500, 'fatal', false],
    'A setting or a service does not fit.',
    'At a first start.',
    'Do what the sentence says and start again.',
  ),
  replication_drift: entry(
    [500, 'fatal', false],
    'Publication, replica identities or triggers differ from the declarations.',
    'Between a deployment and its migration.',
    'Run `clarin migrate`, or undo what was altered by hand.',
  ),
  slot_lost: entry(
    [500, 'error', true],
    'The replication slot is gone or its WAL was removed.',
    'After the WAL budget was spent, or a slot was dropped by hand.',
    'Nothing: a new slot and a new epoch follow by themselves. Find out why.',
  ),
  replication_stuck: entry(
    [500, 'fatal', true],
    'Heartbeats no longer come back through the WAL.',
    'When the connection to Postgres is half open.',
    'Nothing: the process ends and its supervisor starts it again.',
  ),
  leadership_lost: entry(
    [500, 'warn', true],
    'Another replicator has a newer term.',
    'At a takeover.',
    'Nothing: this process becomes a standby.',
  ),
  epoch_lost: entry(
    [500, 'warn', true],
    'Redis no longer holds what was written to it.',
    'After a restart or a FLUSHALL of Redis.',
    'Nothing: a new epoch follows and clients resync.',
  ),
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof ERRORS;

type Options = {
  cause?: unknown;
  details?: Readonly<Record<string, unknown>>;
  retryAfterSeconds?: number;
};

/** The only error class. `message` is for the person who reads it; `details` are fields for a program. */
export class ClarinError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: Options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ClarinError';
    this.code = code;
    this.details = options.details;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get level(): Level {
    return ERRORS[this.code].level;
  }
}
