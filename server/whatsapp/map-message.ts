import { proto, type WAMessageKey } from '@whiskeysockets/baileys';
import type { ReceivedContent } from '../commands/received-content.ts';
import { mapContent, textOf } from './map-content.ts';
import { encodePoll } from './map-poll.ts';
import {
  pairOf,
  readMoment,
  readNumber,
  readParty,
  readSeconds,
  readStanzaId,
  readText,
  type AddressPair,
  type Party,
} from './read-values.ts';
import { readVote, type EncryptedVote } from './poll-vote.ts';
import { unwrap } from './unwrap.ts';

/** Who a device is, without the device's number in its addresses. */
export type Me = { readonly jid: string; readonly lid: string | undefined };

/** A WebMessageInfo whose key may say both addresses of a person, as Baileys has it. */
export type MessageInfo = Omit<proto.IWebMessageInfo, 'key'> & { key?: WAMessageKey | null };

/** Where a message belongs and whose it is. */
export type Envelope = {
  readonly messageId: string;
  readonly chat: Party;
  readonly isGroup: boolean;
  readonly isFromMe: boolean;
  /** In a group: who wrote it, by the address the group goes by. */
  readonly from: string | undefined;
  /** The same with both addresses. */
  readonly writer: Party | undefined;
  readonly fromName: string | undefined;
  /** RFC 3339. */
  readonly sentAt: string;
};

export type Said = {
  readonly content: ReceivedContent;
  /** When it was done, where that is not when it was sent: edits and reactions have milliseconds. */
  readonly at: string;
  readonly quoted?: Quoted | undefined;
  readonly isForwarded: boolean;
  /** What the file is fetched by. */
  readonly fetchable?: proto.IMessage | undefined;
  /** What the votes of this poll are opened with, encoded. */
  readonly poll?: Uint8Array | undefined;
};

type Quoted = {
  readonly messageId: string;
  readonly from: string | undefined;
  readonly text: string | undefined;
};

/** What a message is, for whoever writes it down. */
export type Mapped =
  | ({ readonly does: 'say' } & Said)
  | { readonly does: 'vote'; readonly vote: EncryptedVote }
  /** A part of what was said before the device was linked. */
  | { readonly does: 'history'; readonly notification: proto.Message.IHistorySyncNotification }
  /** What the phone found again of what could not be read, encoded WebMessageInfos. */
  | { readonly does: 'resend'; readonly infos: readonly Uint8Array[] }
  /** Numbers and their LIDs, as our phone knows them. */
  | { readonly does: 'link'; readonly pairs: readonly AddressPair[] }
  /** Nothing that people are to see. */
  | { readonly does: 'nothing' };

type Context = { readonly envelope: Envelope; readonly nowMs: number };

/** Where a message belongs. Undefined: in no conversation, or there is no saying which. */
export function readEnvelope(info: MessageInfo, nowMs: number): Envelope | undefined {
  const { key } = info;
  const messageId = readStanzaId(key?.id);
  const participant = key?.participant || info.participant;
  // What was sent to a list of people is said to each of them alone.
  const isList = /^\d+@broadcast$/.test(key?.remoteJid ?? '');
  const chat = isList
    ? readParty(participant, key?.participantAlt ?? key?.remoteJidAlt)
    : readParty(key?.remoteJid, key?.remoteJidAlt);
  if (messageId === undefined || !chat || (isList && key?.fromMe === true)) return undefined;
  const isGroup = chat.jid.endsWith('@g.us');
  const writer = isGroup ? readParty(participant, key?.participantAlt) : undefined;
  return {
    messageId,
    chat,
    isGroup,
    isFromMe: key?.fromMe === true,
    from: isGroup ? readParty(participant)?.jid : undefined,
    writer,
    fromName: readText(info.pushName) ?? readText(info.verifiedBizName),
    sentAt: readSeconds(info.messageTimestamp, nowMs),
  };
}

/** What a decoded message does. Never throws, whatever was decoded. */
export function mapMessage(given: proto.IMessage, context: Context): Mapped {
  const { message, secret } = unwrap(given);
  const { protocolMessage, reactionMessage } = message;
  if (protocolMessage) return mapProtocol(protocolMessage, context);
  if (reactionMessage) return mapReaction(reactionMessage, context);
  const vote = readVote(message, context.envelope);
  if (vote) return { does: 'vote', vote };
  if (message.pollUpdateMessage) return { does: 'nothing' };
  const mapped = mapContent(message);
  if (!mapped) return { does: 'nothing' };
  const isPoll = mapped.content.kind === 'poll' && secret !== undefined;
  return {
    does: 'say',
    ...mapped,
    ...readContext(message),
    at: context.envelope.sentAt,
    poll: isPoll ? encodePoll(message, secret) : undefined,
  };
}

function mapReaction(
  { key, text, senderTimestampMs }: proto.Message.IReactionMessage,
  { envelope }: Context,
): Mapped {
  const target = readStanzaId(key?.id);
  if (target === undefined) return { does: 'nothing' };
  const content = { kind: 'reaction', target, emoji: readText(text) ?? null } as const;
  return act(content, readMoment(senderTimestampMs, envelope.sentAt));
}

function mapProtocol(protocol: proto.Message.IProtocolMessage, { envelope }: Context): Mapped {
  const { Type } = proto.Message.ProtocolMessage;
  const { type, key, historySyncNotification: notification } = protocol;
  const target = readStanzaId(key?.id);
  // The first of the types is also the one that is meant where none is said.
  if ((type ?? Type.REVOKE) === Type.REVOKE)
    return target === undefined
      ? { does: 'nothing' }
      : act({ kind: 'revoke', target }, envelope.sentAt);
  if (type === Type.MESSAGE_EDIT) return mapEdit(protocol, target, envelope);
  if (type === Type.EPHEMERAL_SETTING)
    return act({ kind: 'system', text: describeTimer(protocol) }, envelope.sentAt);
  // Anybody may send the others: of ourselves only they are believed.
  if (!envelope.isFromMe) return { does: 'nothing' };
  if (type === Type.HISTORY_SYNC_NOTIFICATION && notification)
    return { does: 'history', notification };
  if (type === Type.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE) return mapResent(protocol);
  if (type === Type.LID_MIGRATION_MAPPING_SYNC) return mapMigration(protocol);
  return { does: 'nothing' };
}

function mapEdit(
  { editedMessage, timestampMs }: proto.Message.IProtocolMessage,
  target: string | undefined,
  { sentAt }: Envelope,
): Mapped {
  if (target === undefined || !editedMessage) return { does: 'nothing' };
  const text = textOf(unwrap(editedMessage).message);
  if (text === undefined) return { does: 'nothing' };
  return act({ kind: 'edit', target, text }, readMoment(timestampMs, sentAt));
}

function mapResent({
  peerDataOperationRequestResponseMessage: response,
}: proto.Message.IProtocolMessage): Mapped {
  const infos = (response?.peerDataOperationResult ?? []).flatMap((result) => {
    const bytes = result.placeholderMessageResendResponse?.webMessageInfoBytes;
    return bytes && bytes.length > 0 ? [bytes] : [];
  });
  return infos.length > 0 ? { does: 'resend', infos } : { does: 'nothing' };
}

function mapMigration({
  lidMigrationMappingSyncMessage: sync,
}: proto.Message.IProtocolMessage): Mapped {
  let payload: proto.ILIDMigrationMappingSyncPayload;
  try {
    payload = proto.LIDMigrationMappingSyncPayload.decode(
      sync?.encodedMappingPayload ?? new Uint8Array(),
    );
  } catch {
    return { does: 'nothing' };
  }
  const pairs = (payload.pnToLidMappings ?? []).flatMap(({ pn, latestLid, assignedLid }) => {
    const lid = readNumber(latestLid) || readNumber(assignedLid);
    const party = readParty(`${readNumber(pn)}@s.whatsapp.net`, `${lid}@lid`);
    return pairOf(party) ?? [];
  });
  return pairs.length > 0 ? { does: 'link', pairs } : { does: 'nothing' };
}

function act(content: ReceivedContent, at: string): Mapped {
  return { does: 'say', content, at, isForwarded: false };
}

function describeTimer({ ephemeralExpiration }: proto.Message.IProtocolMessage): string {
  const days = Math.round((ephemeralExpiration ?? 0) / 86_400);
  if (days <= 0) return 'Messages no longer disappear';
  return `Messages disappear after ${days} day${days === 1 ? '' : 's'}`;
}

/** What is quoted, and whether it was said elsewhere before. */
function readContext(message: proto.IMessage): Pick<Said, 'quoted' | 'isForwarded'> {
  for (const part of Object.values(message) as unknown[]) {
    if (typeof part !== 'object' || part === null || !('contextInfo' in part)) continue;
    const context = part.contextInfo as proto.IContextInfo | null | undefined;
    if (!context) continue;
    const messageId = readStanzaId(context.stanzaId);
    const isForwarded = context.isForwarded === true || (context.forwardingScore ?? 0) > 0;
    if (messageId === undefined) return { isForwarded };
    const from = readParty(context.participant)?.jid;
    const text = context.quotedMessage ? textOf(unwrap(context.quotedMessage).message) : undefined;
    return { isForwarded, quoted: { messageId, from, text } };
  }
  return { isForwarded: false };
}
