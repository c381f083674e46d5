import type { WASocket } from '@whiskeysockets/baileys';
import type { Log } from '../../../platform/log.ts';
import type { MediaStore } from '../../../platform/media/store.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database, Queries } from '../../../platform/postgres.ts';
import type { SecretBox } from '../../../platform/secret-box.ts';
import type { Lease } from '../../commands/lease-work.ts';
import type { Clock } from '../clock.ts';
import { LeaseLost, writeInLease } from '../write-in-lease.ts';

/** What everything that works for one device has, for as long as its lease is held. */
export type DeviceContext = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly lease: Lease;
  readonly database: Database;
  readonly box: SecretBox;
  readonly media: MediaStore;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Aborted when the work for the device ends. */
  readonly signal: AbortSignal;
  /** The lease is somebody else's: nothing more is written, and the socket ends. May be called more than once. */
  readonly onLost: () => void;
};

/** One socket that is logged in. `signal` is aborted as soon as it no longer is: a later one is another object. */
export type Linked = {
  readonly socket: WASocket;
  /** Without the device's number: `51987654321@s.whatsapp.net`. */
  readonly me: { readonly jid: string; readonly lid: string | undefined };
  readonly signal: AbortSignal;
};

/**
 * One transaction by virtue of the device's lease, as every write of a device's worker is: another worker takes the
 * device before it or after it, never in between. Tried again when it ran into another one. `isPublic: false`: nothing
 * that anybody sees is written, and the log says nothing of where it comes from.
 * @throws LeaseLost after `onLost` was called. ClarinError. The signal's reason.
 */
export async function write<T>(
  context: DeviceContext,
  work: (tx: Queries) => Promise<T>,
  { isPublic = true }: { isPublic?: boolean } = {},
): Promise<T> {
  try {
    return await writeInLease({ ...context, source: isPublic ? 'whatsapp' : undefined }, work);
  } catch (error) {
    if (error instanceof LeaseLost) context.onLost();
    throw error;
  }
}
