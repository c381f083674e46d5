import { createHash, randomBytes } from 'node:crypto';
import { aesEncryptGCM, hmacSign, proto } from '@whiskeysockets/baileys';

const { ProtocolMessage } = proto.Message;

/** Another message, as whoever writes has it. */
export type Target = {
  readonly id: string;
  /** Whoever writes wrote that one too. */
  readonly isOwn: boolean;
  /** The chat, as whoever writes has it: the other one, or the group. */
  readonly chat: string;
  /** In a group: who wrote it. */
  readonly participant?: string | undefined;
};

function keyOf({ id, isOwn, chat, participant }: Target): proto.IMessageKey {
  return { id, fromMe: isOwn, remoteJid: chat, ...(participant !== undefined && { participant }) };
}

export function reply(
  text: string,
  to: { id: string; author: string; content: proto.IMessage },
): proto.IMessage {
  const contextInfo = { stanzaId: to.id, participant: to.author, quotedMessage: to.content };
  return { extendedTextMessage: { text, contextInfo } };
}

/** An empty emoji takes it back. */
export function reaction(target: Target, emoji: string): proto.IMessage {
  const senderTimestampMs = Date.now();
  return { reactionMessage: { key: keyOf(target), text: emoji, senderTimestampMs } };
}

export function edit(target: Target, text: string): proto.IMessage {
  const editedMessage = { extendedTextMessage: { text } };
  return {
    protocolMessage: {
      key: keyOf(target),
      type: ProtocolMessage.Type.MESSAGE_EDIT,
      editedMessage,
      timestampMs: Date.now(),
    },
  };
}

/** Deleted for all. */
export function revoke(target: Target): proto.IMessage {
  return { protocolMessage: { key: keyOf(target), type: ProtocolMessage.Type.REVOKE } };
}

export function poll(
  name: string,
  options: readonly string[],
  { selectable = 1, secret = randomBytes(32) }: { selectable?: number; secret?: Buffer } = {},
): proto.IMessage {
  const creation = {
    name,
    options: options.map((optionName) => ({ optionName })),
    selectableOptionsCount: selectable,
  };
  return {
    messageContextInfo: { messageSecret: secret },
    ...(selectable === 1 ? { pollCreationMessageV3: creation } : { pollCreationMessage: creation }),
  };
}

export type VoteInput = {
  readonly poll: Target;
  /** What came with the poll: only who got it can vote. */
  readonly secret: Uint8Array;
  /** Names of options; none takes the vote back. */
  readonly options: readonly string[];
  /** Who made the poll, and who votes, without a device: both are in the key. */
  readonly creator: string;
  readonly voter: string;
};

/** A vote, encrypted with the poll's secret: only who has the poll can say for what it is. */
export function pollVote({
  poll: target,
  secret,
  options,
  creator,
  voter,
}: VoteInput): proto.IMessage {
  const selectedOptions = options.map((name) => createHash('sha256').update(name).digest());
  const plain = proto.Message.PollVoteMessage.encode({ selectedOptions }).finish();
  const use = [target.id, creator, voter, 'Poll Vote'].map((part) => Buffer.from(part));
  const extracted = hmacSign(Buffer.from(secret), new Uint8Array(32));
  const key = hmacSign(Buffer.concat([...use, Buffer.from([1])]), extracted);
  const encIv = randomBytes(12);
  const encPayload = aesEncryptGCM(plain, key, encIv, Buffer.from(`${target.id}\0${voter}`));
  return {
    pollUpdateMessage: {
      pollCreationMessageKey: keyOf(target),
      vote: { encPayload, encIv },
      senderTimestampMs: Date.now(),
    },
  };
}

export function location(
  place: { latitude: number; longitude: number },
  name?: string,
): proto.IMessage {
  const { latitude: degreesLatitude, longitude: degreesLongitude } = place;
  return {
    locationMessage: { degreesLatitude, degreesLongitude, ...(name !== undefined && { name }) },
  };
}

export function contactCard(name: string, phone: string): proto.IMessage {
  const vcard = [
    'BEGIN:VCARD',
    'VERSION:3.0',
    `FN:${name}`,
    `TEL;type=CELL;waid=${phone}:+${phone}`,
    'END:VCARD',
  ].join('\n');
  return { contactMessage: { displayName: name, vcard } };
}

/** To be looked at once. */
export function viewOnce(content: proto.IMessage): proto.IMessage {
  return { viewOnceMessageV2: { message: content } };
}

/** In a chat whose messages disappear. */
export function ephemeral(content: proto.IMessage): proto.IMessage {
  return { ephemeralMessage: { message: content } };
}
