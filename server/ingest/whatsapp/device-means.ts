import type { Log } from '../../../platform/log.ts';
import type { MediaStore } from '../../../platform/media/store.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database } from '../../../platform/postgres.ts';
import type { SecretBox } from '../../../platform/secret-box.ts';
import type { Lease } from '../../commands/lease-work.ts';
import type { Clock } from '../clock.ts';
import { ConnectGate } from './connect-gate.ts';
import type { DeviceContext } from './device-context.ts';
import { createKeyCache, type KeyCache } from './key-cache.ts';
import { OWN_VERSION, type SocketMeans } from './open-socket.ts';
import { createSharedCaches } from './shared-cache.ts';
import type { WorkOptions } from './start-work.ts';
import { VersionBreaker } from './version-breaker.ts';

type Given = {
  readonly database: Database;
  readonly box: SecretBox;
  readonly media: MediaStore;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly whatsapp: WorkOptions;
  /** Baileys' own times; undefined: those it has. */
  readonly timing?: SocketMeans['timing'];
};

/** What all devices of a process share. */
export type DeviceMeans = Omit<Given, 'timing'> & {
  readonly keys: KeyCache;
  readonly gate: ConnectGate;
  readonly breaker: VersionBreaker;
  readonly socket: SocketMeans;
};

export function createDeviceMeans({ timing, ...given }: Given): DeviceMeans {
  const { clock, log, metrics, whatsapp } = given;
  const onEnter = (waitedMs: number): void => metrics.whatsappGateSeconds.observe(waitedMs / 1_000);
  const socket = { url: whatsapp.url, caches: createSharedCaches(clock), clock, log };
  return {
    ...given,
    keys: createKeyCache(clock),
    gate: new ConnectGate({ clock, onEnter }),
    breaker: new VersionBreaker(given, OWN_VERSION),
    socket: timing ? { ...socket, timing } : socket,
  };
}

type Work = {
  readonly lease: Lease;
  readonly place: { readonly accountId: number; readonly deviceId: number };
  readonly onLost: () => void;
  readonly signal: AbortSignal;
};

/** What works for one device has of it. */
export function contextOf(
  means: DeviceMeans,
  { lease, place, onLost, signal }: Work,
): DeviceContext {
  const { accountId, deviceId } = place;
  const { database, box, media, metrics, clock } = means;
  const log = means.log.child({ account: accountId, device: deviceId });
  return { accountId, deviceId, lease, onLost, database, box, media, metrics, clock, log, signal };
}
