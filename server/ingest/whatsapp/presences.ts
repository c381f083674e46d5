import type { PresenceData, WASocket } from '@whiskeysockets/baileys';
import type { Running } from '../../../platform/lifecycle.ts';
import { signalPresences, type Presence } from '../../commands/whatsapp-signal.ts';
import { readParty } from '../../whatsapp/read-values.ts';
import { createCollector } from './collector.ts';
import { write, type DeviceContext } from './device-context.ts';

/** Who types says so about every ten seconds; one who stops says so at once. */
const DELAY_MS = 500;
/** Of one device, by one write: more people than anybody watches. */
const BATCH = 20;
const WAITING_MAX = 100;

/**
 * Who is typing or online, for browsers that look: the last that each did within half a second. Nothing of it is written
 * down, and what is too much is dropped.
 */
export function startPresences(
  context: DeviceContext,
): Running & { watch(socket: WASocket): void } {
  const collector = createCollector<Presence>({
    context,
    what: 'presences',
    delayMs: DELAY_MS,
    max: WAITING_MAX,
    batch: WAITING_MAX,
    write: async (presences) => {
      const { accountId, deviceId } = context;
      const latest = newest(presences).slice(-BATCH);
      await write(context, (tx) => signalPresences(tx, { accountId, deviceId, presences: latest }));
    },
  });
  return {
    stop: () => collector.stop(),
    watch: (socket) => {
      socket.ev.on('presence.update', ({ id, presences }) => {
        const jid = readParty(id)?.jid;
        if (jid === undefined) return;
        collector.add(Object.values(presences).flatMap((presence) => readPresence(jid, presence)));
      });
    },
  };
}

function readPresence(jid: string, { lastKnownPresence: state }: PresenceData): Presence[] {
  if (state === 'composing' || state === 'recording' || state === 'paused')
    return [{ jid, kind: 'typing', state }];
  // In a group it would be somebody's, and nobody could say whose.
  return jid.endsWith('@g.us') ? [] : [{ jid, kind: 'presence', state }];
}

function newest(presences: readonly Presence[]): Presence[] {
  const last = new Map(presences.map((presence) => [`${presence.kind} ${presence.jid}`, presence]));
  return [...last.values()];
}
