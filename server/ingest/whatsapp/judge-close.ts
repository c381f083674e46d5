import type { DeviceCode } from '../../../domain/device-status.ts';

/**
 * What a socket that ended means. WhatsApp says it by numbers that look like HTTP's and are not; Baileys hands them on as
 * `statusCode` of its error, and gives some of its own. Measured against Baileys 7.0.0-rc14:
 *
 *   515        pairing is done, log in with what it gave
 *   401        unlinked, on the phone or by WhatsApp (also `conflict` of type `device_removed`)
 *   403        the number is blocked
 *   405        the version of the client is refused, whoever connects
 *   411        WhatsApp does not know the link as one of its kind
 *   440        somebody else has logged in with the same credentials
 *   428, 408   the connection ended, or never came to be; 408 also when nobody scanned any of the QR codes
 *   500        another error of the stream, or a failure without a reason
 *   503        not available
 *   none       an exception in this process: trying again would most likely throw it again
 */
export type Closed =
  /** The error of the last `connection.update`. */
  | {
      readonly kind: 'closed';
      readonly statusCode: number | undefined;
      readonly message: string;
      /** The type of a `<conflict>`, when there was one. */
      readonly conflict: string | undefined;
    }
  /** The upgrade to a WebSocket was answered by HTTP: Baileys waits for ever. */
  | { readonly kind: 'refused'; readonly httpStatus: number }
  /** Neither a QR nor a login in time. */
  | { readonly kind: 'silent' }
  /** Its keys could not be read or written any more. */
  | { readonly kind: 'store'; readonly reason: string };

/** What the socket was at when it ended. */
export type Phase = 'connecting' | 'pairing' | 'open';

/** What has happened to the device before this close, and is not forgotten by a new socket. */
export type History = {
  /** Tries since it was last open for a minute. */
  readonly attempts: number;
  /** Times that WhatsApp has ended the stream right after a login, in a row. */
  readonly badSessions: number;
  /** Times that the session was taken over within the last ten minutes. */
  readonly replacements: number;
};

export type Verdict =
  /** Without waiting: all is as it should be. */
  | { readonly kind: 'again' }
  | { readonly kind: 'backoff'; readonly code: DeviceCode; readonly bounds: Bounds }
  | { readonly kind: 'wait'; readonly code: DeviceCode; readonly waitMs: number }
  /** The version of the client: nobody connects before there is another one. */
  | { readonly kind: 'outdated' }
  /** Nothing is tried any more, by itself after `retryMs` if that is given. */
  | {
      readonly kind: 'final';
      readonly code: DeviceCode;
      readonly retryMs?: number;
      /** Its credentials are worth nothing any more. */
      readonly isUnlinked: boolean;
      readonly isFault: boolean;
    };

export type Bounds = { readonly minMs: number; readonly maxMs: number };

const USUAL: Bounds = { minMs: 1_000, maxMs: 60_000 };
/** WhatsApp itself says that it cannot: no hurry. */
const UNAVAILABLE: Bounds = { minMs: 5_000, maxMs: 120_000 };
const REPLACED_WAIT_MS = 30_000;
const REPLACEMENTS_MAX = 5;
const BAD_SESSIONS_MAX = 5;
const BANNED_RETRY_MS = 24 * 3_600_000;
const FAULT_RETRY_MS = 15 * 60_000;

const final = (
  code: DeviceCode,
  more: { retryMs?: number; isUnlinked?: boolean; isFault?: boolean } = {},
): Verdict => ({ kind: 'final', code, isUnlinked: false, isFault: false, ...more });
const backoff = (code: DeviceCode, bounds = USUAL): Verdict => ({ kind: 'backoff', code, bounds });

/** Pure. For a device whose lease is ours: without it nothing is decided any more. `history` counts this close too. */
export function judgeClose(closed: Closed, phase: Phase, history: History): Verdict {
  if (closed.kind === 'refused')
    return backoff('refused', closed.httpStatus >= 429 ? UNAVAILABLE : USUAL);
  if (closed.kind === 'store') return backoff('connection_lost', UNAVAILABLE);
  if (closed.kind === 'silent') return backoff('no_answer');
  if (closed.conflict === 'device_removed') return unlinked(phase, 'logged_out_by_phone');
  switch (closed.statusCode) {
    case 515:
      return { kind: 'again' };
    case 401:
      return unlinked(phase, 'logged_out_by_phone');
    case 403:
      return final('banned', { retryMs: BANNED_RETRY_MS });
    case 405:
      return { kind: 'outdated' };
    case 411:
      return unlinked(phase, 'multi_device_mismatch');
    case 440:
      return history.replacements > REPLACEMENTS_MAX
        ? final('conflict')
        : { kind: 'wait', code: 'replaced', waitMs: REPLACED_WAIT_MS };
    case 408:
      return isOutOfCodes(closed, phase) ? final('pairing_expired') : lost(phase);
    case 428:
      return lost(phase);
    case 500:
      return history.badSessions >= BAD_SESSIONS_MAX
        ? final('bad_session')
        : backoff('stream_error');
    case 503:
      return backoff('unavailable', UNAVAILABLE);
    case undefined:
      // Also what WhatsApp sent may be the reason: not for ever.
      return final('fault', { retryMs: FAULT_RETRY_MS, isFault: true });
    default:
      // A number nobody has told us of yet. It is tried again, as what passes by itself is.
      return backoff('stream_error');
  }
}

/** Who is not linked yet cannot be unlinked: what was tried is over. */
function unlinked(phase: Phase, code: DeviceCode): Verdict {
  return phase === 'pairing' ? final('pairing_expired') : final(code, { isUnlinked: true });
}

const lost = (phase: Phase): Verdict =>
  backoff(phase === 'connecting' ? 'no_answer' : 'connection_lost');

/** Baileys' own sentence: the same number also says that a connection was lost. */
function isOutOfCodes({ message }: { message: string }, phase: Phase): boolean {
  return phase === 'pairing' && message.includes('QR refs attempts ended');
}

/** After so many tries a device is not asked for more often than every five minutes. */
const MANY_ATTEMPTS = 20;
const MANY_MAX_MS = 5 * 60_000;

/**
 * How long until the next try: anything up to a bound that doubles, so that devices that fell together do not come back
 * together. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function reconnectMs(attempts: number, { minMs, maxMs }: Bounds, random: number): number {
  const cap = attempts > MANY_ATTEMPTS ? MANY_MAX_MS : maxMs;
  const bound = Math.min(cap, minMs * 2 ** Math.min(Math.max(0, attempts - 1), 30));
  return Math.round(random * bound);
}
