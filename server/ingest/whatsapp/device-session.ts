import type {
  AuthenticationCreds,
  SignalKeyStore,
  SocketConfig,
  WASocket,
} from '@whiskeysockets/baileys';
import type { KeyCache } from './key-cache.ts';

/**
 * The session of a device with WhatsApp, for one socket: credentials and keys, kept in the database.
 *
 * Baileys' own locks belong to a socket. What the last one still had to write must not come after what the next one
 * read, or a ratchet would go back in time: so a session is closed when its socket has ended, and the next socket opens
 * its own.
 *
 * Writes are done one after the other, in the order in which Baileys makes them, each in one transaction that begins
 * with the lease: ratchets, dirty credentials and what was decrypted are one commit. A write that fails in a way that
 * may pass is tried again for some seconds, the same each time: all of it may be written twice. When it does not pass,
 * or a read does not, the session is over, and the socket is ended before Baileys can answer what it was at: no receipt
 * and no refusal leaves, and WhatsApp sends it again. The same when somebody else has the lease.
 */
export type DeviceSession = {
  /** For makeWASocket. `creds` is one object, changed in place. */
  readonly auth: { readonly creds: AuthenticationCreds; readonly keys: SignalKeyStore };
  readonly makeSignalRepository: SocketConfig['makeSignalRepository'];
  /** For the socket that uses this session, right after it was made. */
  watch(socket: WASocket): void;
  /** For creds.update. Written with the next keys, by `flush`, or after a second. */
  readonly merge: (update: Partial<AuthenticationCreds>) => void;
  /** What is dirty is written when this resolves. @throws SessionOver. */
  flush(): Promise<void>;
  /** After what is being written is, and what is dirty, nothing more is read or written. Never rejects. */
  close(): Promise<void>;
};

export type SessionOptions = {
  readonly cache: KeyCache;
  /** There is something new in the inbox. */
  readonly onInbox: () => void;
  /** Called once, when somebody else has the lease. */
  readonly onLost: () => void;
};

/**
 * `lost`: somebody else has the device. `unavailable`: the database is away for too long, or does not take it. `gone`:
 * the session was deleted. `closed`: by us.
 */
export type OverReason = 'lost' | 'unavailable' | 'gone' | 'closed';

/** Nothing more is read or written. What a socket is ended with when it was not closed by us. */
export class SessionOver extends Error {
  readonly reason: OverReason;

  constructor(reason: OverReason, cause?: unknown) {
    super(`the session is over: ${reason}`, cause === undefined ? undefined : { cause });
    this.name = 'SessionOver';
    this.reason = reason;
  }
}
