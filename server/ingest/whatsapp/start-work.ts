import type { WhatsAppConfig } from '../../../platform/config.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import type { DeviceContext, Linked } from './device-context.ts';
import { startDownloads } from './media-download.ts';
import { startOutbox } from './outbox.ts';
import { startTellingReads } from './tell-reads.ts';

/** What needs a socket that is logged in. `ring`: there may be something of this kind to do. */
export type Work = Running & { ring(kind: WorkKind): void };
export type WorkKind = 'outbox' | 'downloads' | 'reads';

export type WorkOptions = WhatsAppConfig & {
  /** Of a file that is fetched. */
  readonly bytesMax: number;
};

/** Begins it, for as long as this socket is logged in. */
export function startWork(context: DeviceContext, linked: Linked, options: WorkOptions): Work {
  const { url, newChatsPerDay, sendIntervalMs, bytesMax, accountBytesMax } = options;
  const pace = { gapMs: sendIntervalMs, jitterMs: sendIntervalMs };
  const outbox = startOutbox(context, linked, { newChatsPerDay, pace });
  // Plain WebSocket is allowed on this machine only.
  const isFake = new URL(url).protocol === 'ws:';
  const downloads = startDownloads(context, linked, { bytesMax, accountBytesMax, isFake });
  const reads = startTellingReads(context, linked);
  return {
    ring: (kind) => {
      const parts = { outbox, downloads, reads };
      parts[kind].ring();
    },
    stop: async () => {
      await Promise.all([outbox.stop(), downloads.stop(), reads.stop()]);
    },
  };
}
