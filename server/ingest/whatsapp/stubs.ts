import { randomUUID } from 'node:crypto';
import { proto, type WAMessage, type WASocket } from '@whiskeysockets/baileys';
import { insertInbox, type DecryptedStanza } from '../../commands/whatsapp-inbox.ts';
import type { Node } from '../../whatsapp/map-receipt.ts';
import { readStanzaId } from '../../whatsapp/read-values.ts';
import { createCollector, type Collector } from './collector.ts';
import { write, type DeviceContext } from './device-context.ts';

export type Stubs = Collector<DecryptedStanza> & { watch(socket: WASocket): void };

const DELAY_MS = 20;
const BATCH = 50;
const WAITING_MAX = 5_000;
/** Stanzas whose attributes are remembered until Baileys says that it could not read them. */
const REMEMBERED_MAX = 2_000;

const { StubType } = proto.WebMessageInfo;
/** Calls that nobody took, and whether they were with a picture. */
const MISSED_CALLS: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  [StubType.CALL_MISSED_VOICE, false],
  [StubType.CALL_MISSED_VIDEO, true],
  [StubType.CALL_MISSED_GROUP_VOICE, false],
  [StubType.CALL_MISSED_GROUP_VIDEO, true],
]);

/**
 * What is in a chat and never passes decryption: a message that could not be read (its place, until it comes again), one
 * that came in the clear, a call that nobody took. It goes into the inbox as what was decrypted does.
 */
export function startStubs(context: DeviceContext, onInbox: () => void): Stubs {
  const collector = createCollector<DecryptedStanza>({
    context,
    what: 'placeholders',
    delayMs: DELAY_MS,
    max: WAITING_MAX,
    batch: BATCH,
    write: async (stanzas) => {
      await write(context, (tx) => insertInbox(tx, context.box, context, stanzas));
      onInbox();
    },
  });
  const attrsOf = new Map<string, Readonly<Record<string, string>>>();
  const hearStanza = (node: Node): void => {
    const id = readStanzaId(node.attrs['id']);
    if (id === undefined || node.attrs['from']?.endsWith('@newsletter')) return;
    const attrs = textsOf(node.attrs);
    const [oldest] = attrsOf.keys();
    if (attrsOf.size >= REMEMBERED_MAX && oldest !== undefined) attrsOf.delete(oldest);
    attrsOf.set(id, attrs);
    collector.add(plaintextsIn(node).map((plain) => stanzaOf(attrs, plain)));
  };
  const hearMessage = (message: WAMessage): void => {
    const attrs = attrsOf.get(message.key.id ?? '');
    if (isUnread(message) && attrs) collector.add([stanzaOf(attrs, new Uint8Array())]);
    const isVideo = MISSED_CALLS.get(message.messageStubType);
    if (isVideo !== undefined) collector.add(missedCall(message, isVideo));
  };
  return {
    ...collector,
    watch: (socket) => {
      socket.ws.prependListener('CB:message', hearStanza);
      socket.ev.on('messages.upsert', ({ messages }) => {
        for (const message of messages) hearMessage(message);
      });
    },
  };
}

/** It could not be decrypted, or is for the phone's eyes only. */
function isUnread({ messageStubType, message, key }: WAMessage): boolean {
  return messageStubType === StubType.CIPHERTEXT || (!message && key.isViewOnce === true);
}

function missedCall({ key, messageTimestamp }: WAMessage, isVideo: boolean): DecryptedStanza[] {
  const { id, remoteJid } = key;
  if (!id || !remoteJid) return [];
  const callOutcome = proto.Message.CallLogMessage.CallOutcome.MISSED;
  const message = proto.Message.create({ callLogMesssage: { isVideo, callOutcome } });
  const attrs = { id, from: remoteJid, t: String(messageTimestamp ?? '') };
  return [stanzaOf(attrs, pad(proto.Message.encode(message).finish()))];
}

function stanzaOf(attrs: Readonly<Record<string, string>>, plain: Uint8Array): DecryptedStanza {
  return { key: randomUUID(), attrs, plain };
}

function plaintextsIn({ content }: Node): Uint8Array[] {
  const parts = Array.isArray(content) ? (content as { tag?: unknown; content?: unknown }[]) : [];
  return parts.flatMap((part) =>
    part.tag === 'plaintext' && part.content instanceof Uint8Array ? [pad(part.content)] : [],
  );
}

/** As one that was encrypted ends: one byte that says how many they are. */
function pad(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Uint8Array.of(1)]);
}

function textsOf(attrs: Node['attrs']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attrs).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
