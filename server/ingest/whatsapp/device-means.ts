import type { WASocket } from '@whiskeysockets/baileys';
import type { Running } from '../../../platform/lifecycle.ts';
import type { Log } from '../../../platform/log.ts';
import type { MediaStore } from '../../../platform/media/store.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database } from '../../../platform/postgres.ts';
import type { SecretBox } from '../../../platform/secret-box.ts';
import type { Clock } from '../clock.ts';
import type { ConnectGate } from './connect-gate.ts';
import type { DeviceContext, Linked } from './device-context.ts';
import type { KeyCache } from './key-cache.ts';
import type { SocketMeans } from './open-socket.ts';
import type { VersionBreaker } from './version-breaker.ts';

/** What needs no open socket: what came in and is no row yet. */
export type Inbound = Running & {
  /** There is something new in the inbox. */
  ring(): void;
  /** For every new socket, before anything comes from it. */
  watch(socket: WASocket): void;
};

/** What needs one that is logged in. */
export type Work = Running & {
  /** There may be something to send. */
  ring(): void;
};

/** Who a device is to WhatsApp, without the device's own number. */
export type Me = { readonly jid: string; readonly lid: string | undefined };

/** What all devices of a process share. */
export type DeviceMeans = {
  readonly database: Database;
  readonly box: SecretBox;
  readonly media: MediaStore;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly keys: KeyCache;
  readonly gate: ConnectGate;
  readonly breaker: VersionBreaker;
  readonly socket: SocketMeans;
  readonly startInbound: (context: DeviceContext, options: { me: () => Me | undefined }) => Inbound;
  readonly startWork: (context: DeviceContext, linked: Linked) => Work;
};
