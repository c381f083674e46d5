/** Limits of a feed server that its clients need not know. What they need to know is in domain/feed-protocol.ts. */

/**
 * Bytes of commits for one socket in one turn of the event loop. What goes beyond is read from the account's log at
 * the socket's own pace: a burst must not close a reader that is fast enough for it.
 */
export const TURN_BYTES_MAX = 1024 * 1024;
/**
 * Queued in one turn for all sockets together before they are sent: what does not leave is known only then, and the next
 * commit must not be queued for a thousand readers of whom nobody reads.
 */
export const FLUSH_ABOVE_BYTES = 16 * 1024 * 1024;
/** Bytes that wait in all sockets of a server together, and into how many shares what is free of them is divided. */
export const BACKLOG_BYTES_MAX = 128 * 1024 * 1024;
export const BACKLOG_SHARES = 8;
/** While history is sent, a socket holds about this much; more follows as it drains. */
export const HISTORY_BACKLOG_BYTES = 256 * 1024;
/** A socket that takes nothing of what waits for it for this long is closed with 4408. */
export const DRAIN_TIMEOUT_MS = 10_000;
/** How long a subscription waits for this server to reach a cursor that is ahead of it. */
export const AHEAD_TIMEOUT_MS = 5_000;
/** Resumes that read at the same time, in all and of one account: each may hold one large commit in memory. */
export const RESUMES_MAX = 16;
export const RESUMES_PER_ACCOUNT_MAX = 4;
/** A principal that cannot be read is tried again so often, waiting a little longer each time; then the socket goes. */
export const RECHECK_ATTEMPTS = 4;
export const RECHECK_BACKOFF_MS = 150;
/** Bytes of messages that wait in one session for an earlier one to be done. */
export const INBOX_BYTES_MAX = 128 * 1024;
/** A socket closed with 4408 may still hold its backlog for this long: it keeps its place in the connection limits. */
export const SLOW_CLOSE_LINGER_MS = 20_000;

/** uWebSockets.js hangs up on a connection whose request is not there after this, however slowly it comes. */
export const KNOCK_MS = 12_000;

/** Sockets a server takes; a stranger can reach only `unauthenticated` of them, each for HELLO_TIMEOUT_MS. */
export type ConnectionLimits = {
  readonly total: number;
  readonly perAddress: number;
  readonly unauthenticated: number;
};

export const CONNECTION_LIMITS: ConnectionLimits = {
  total: 20_000,
  perAddress: 2_000,
  unauthenticated: 1_000,
};
