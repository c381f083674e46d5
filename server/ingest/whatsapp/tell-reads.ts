import type { WAMessageKey } from '@whiskeysockets/baileys';
import type { Running } from '../../../platform/lifecycle.ts';
import { forgetReads, readUntoldReads, type UntoldRead } from '../../commands/untold-reads.ts';
import { write, type DeviceContext, type Linked } from './device-context.ts';
import { LOOK_MS, startRingLoop } from './ring-loop.ts';
import { untilAborted } from './until-aborted.ts';

/** Of one look: a device that comes back does not tell everything at once. */
const CHATS_MAX = 20;
const FAULT = { minMs: 2_000, maxMs: 5 * 60_000 };

/**
 * What people read here is read for WhatsApp too: it is no longer unread on the phone, and who wrote it sees that it was
 * read, unless the number's own setting for read receipts is off; that one decides, here as on the phone. What was told
 * may be told again after a crash, which changes nothing. `ring`: something was read.
 */
export function startTellingReads(
  context: DeviceContext,
  linked: Linked,
): Running & { ring(): void } {
  return startRingLoop({
    context,
    signal: linked.signal,
    says: 'WhatsApp could not be told what was read',
    fault: FAULT,
    round: async (signal) => {
      await tellReads(context, linked, signal);
      return LOOK_MS;
    },
  });
}

async function tellReads(
  context: DeviceContext,
  linked: Linked,
  signal: AbortSignal,
): Promise<void> {
  const { accountId, deviceId, database } = context;
  const reads = await readUntoldReads(database, { accountId, deviceId, max: CHATS_MAX });
  if (reads.length === 0) return;
  const keys: WAMessageKey[] = [];
  for (const read of reads) keys.push(...(await keysOf(linked, read)));
  if (keys.length > 0) await untilAborted(linked.socket.readMessages(keys), signal);
  await write(context, (tx) => forgetReads(tx, { accountId, deviceId }, reads));
}

/** A person's messages come from their LID where it is known, whatever the chat was begun with. */
async function keysOf({ socket }: Linked, { jid, messages }: UntoldRead): Promise<WAMessageKey[]> {
  const isGroup = jid.endsWith('@g.us');
  const isNumber = jid.endsWith('@s.whatsapp.net');
  const { lidMapping } = socket.signalRepository;
  const lid = isNumber && messages.length > 0 ? await lidMapping.getLIDForPN(jid) : null;
  return messages.map(({ stanzaId, author }) => ({
    remoteJid: lid ?? jid,
    id: stanzaId,
    fromMe: false,
    ...(isGroup && author !== undefined ? { participant: author } : {}),
  }));
}
