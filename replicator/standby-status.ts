import type { Lsn } from '../domain/lsn.ts';

/** 2000-01-01 in ms since 1970, where Postgres' clock starts. */
const POSTGRES_EPOCH_MS = 946_684_800_000n;

/**
 * Standby status update: what we tell the walsender, `pg-logical-replication` being wrong about it (hazards H1, H2, H6).
 * `confirmed` goes out exactly. Postgres skips commits whose record *begins* before it, and the next record may begin
 * at the very byte where the last one ended: one more, and that transaction is lost. A zero changes nothing.
 * `wantsReply` has the walsender show that it is there.
 * https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE
 */
export function encodeStandbyStatus(confirmed: Lsn, nowMs: number, wantsReply: boolean): Buffer {
  const status = Buffer.alloc(34);
  status.write('r', 0, 'latin1');
  status.writeBigUInt64BE(confirmed, 1);
  status.writeBigUInt64BE(confirmed, 9);
  status.writeBigUInt64BE(confirmed, 17);
  status.writeBigInt64BE((BigInt(Math.trunc(nowMs)) - POSTGRES_EPOCH_MS) * 1_000n, 25);
  status.writeUInt8(wantsReply ? 1 : 0, 33);
  return status;
}

export type StreamTimings = {
  /** Between standby statuses. */
  readonly statusIntervalMs: number;
  /** Without a sign of life for this long, although nothing is being worked on, the stream is wedged. */
  readonly stuckAfterMs: number;
};

const STATUS_INTERVAL_MS_MAX = 10_000;
const STATUS_INTERVAL_MS_MIN = 100;
const STUCK_AFTER_MS_MIN = 15_000;
/** The server's default, taken where the timeout is switched off. */
const WAL_SENDER_TIMEOUT_MS = 60_000;

/**
 * The walsender hangs up after wal_sender_timeout without a word from us, so we speak at half of it. It may itself be silent for
 * half of it while it decodes a large transaction, so only the whole of it counts as silence.
 */
export function computeTimings(walSenderTimeoutMs: number): StreamTimings {
  const timeoutMs = walSenderTimeoutMs === 0 ? WAL_SENDER_TIMEOUT_MS : walSenderTimeoutMs;
  const halfMs = Math.floor(timeoutMs / 2);
  return {
    statusIntervalMs: Math.max(STATUS_INTERVAL_MS_MIN, Math.min(STATUS_INTERVAL_MS_MAX, halfMs)),
    stuckAfterMs: Math.max(STUCK_AFTER_MS_MIN, timeoutMs),
  };
}
