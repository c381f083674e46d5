import { deflateSync } from 'node:zlib';
import { proto } from '@whiskeysockets/baileys';
import { encryptFile } from './files.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';
import { newMessageId, writeToOwnDevice, type Written } from './write.ts';

const { HistorySyncType } = proto.HistorySync;
const TYPES = {
  initial: HistorySyncType.INITIAL_BOOTSTRAP,
  recent: HistorySyncType.RECENT,
  full: HistorySyncType.FULL,
  'push-names': HistorySyncType.PUSH_NAME,
  'on-demand': HistorySyncType.ON_DEMAND,
} as const;

export type HistoryMessage = {
  readonly id?: string;
  readonly isOwn?: boolean;
  readonly content: proto.IMessage | string;
  readonly atSeconds: number;
  /** Of own ones: 2 sent, 3 delivered, 4 read. Default 3. */
  readonly status?: number;
};

export type HistoryConversation = {
  readonly with: Person;
  /** As the phone's address book has it. */
  readonly name?: string;
  readonly unread?: number;
  /** WhatsApp's are newest first. */
  readonly messages: readonly HistoryMessage[];
};

export type HistoryInput = {
  readonly type?: keyof typeof TYPES | undefined;
  readonly conversations?: readonly HistoryConversation[] | undefined;
  /** People whose push names are told; with type `push-names`. */
  readonly names?: readonly Person[] | undefined;
  /** Percent; 100 in the last chunk. */
  readonly progress?: number | undefined;
  readonly chunk?: number | undefined;
  /** False: numbers and LIDs of the conversations are not told. Default true. */
  readonly hasMappings?: boolean | undefined;
  /**
   * `inline`, the default: in the message itself. `file`: to be fetched, by its path alone; of the host WhatsApp's protocol
   * says nothing.
   */
  readonly as?: 'inline' | 'file' | undefined;
};

/** One chunk of what was written before the device was linked: the phone sends it to its device. */
export async function sendHistory(
  world: World,
  device: LinkedDevice,
  input: HistoryInput,
): Promise<Written & { bytes: number }> {
  const { conversations = [], progress = 100, chunk = 1, hasMappings = true } = input;
  const syncType = TYPES[input.type ?? 'recent'];
  const payload = deflateSync(
    proto.HistorySync.encode({
      syncType,
      progress,
      chunkOrder: chunk,
      conversations: conversations.map((each) => conversationOf(each, hasMappings)),
      pushnames: (input.names ?? []).map(({ jid, name }) => ({ id: jid, pushname: name })),
      phoneNumberToLidMappings: hasMappings
        ? conversations.map(({ with: { phoneJid, lidJid } }) => ({ pnJid: phoneJid, lidJid }))
        : [],
    }).finish(),
  );
  const about = { syncType, progress, chunkOrder: chunk };
  const historySyncNotification =
    input.as === 'file'
      ? { ...about, ...(await storeFile(world, payload)) }
      : { ...about, initialHistBootstrapInlinePayload: payload };
  const written = await writeToOwnDevice(world, device, {
    protocolMessage: {
      type: proto.Message.ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION,
      historySyncNotification,
    },
  });
  return { ...written, bytes: payload.length };
}

async function storeFile(
  world: World,
  payload: Buffer,
): Promise<proto.Message.IHistorySyncNotification> {
  const { bytes, mediaKey, fileSha256, fileEncSha256, fileLength } = await encryptFile(
    payload,
    'md-msg-hist',
  );
  const { path } = world.files.put(bytes);
  return { directPath: path, mediaKey, fileSha256, fileEncSha256, fileLength };
}

function conversationOf(
  conversation: HistoryConversation,
  hasMappings: boolean,
): proto.IConversation {
  const { with: person, messages, name, unread = 0 } = conversation;
  const isByLid = person.addressing.startsWith('lid');
  const addresses = isByLid ? { pnJid: person.phoneJid } : { lidJid: person.lidJid };
  return {
    id: person.jid,
    ...(hasMappings && addresses),
    ...(name !== undefined && { name }),
    unreadCount: unread,
    conversationTimestamp: Math.max(0, ...messages.map(({ atSeconds }) => atSeconds)),
    messages: messages.map((message) => ({ message: messageOf(person, message) })),
  };
}

function messageOf(person: Person, message: HistoryMessage): proto.IWebMessageInfo {
  const { content, isOwn = false, atSeconds, status = 3 } = message;
  return {
    key: { remoteJid: person.jid, fromMe: isOwn, id: message.id ?? newMessageId() },
    message: typeof content === 'string' ? { conversation: content } : content,
    messageTimestamp: atSeconds,
    ...(isOwn ? { status } : { pushName: person.name }),
  };
}
