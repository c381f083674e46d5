import { createHash } from 'node:crypto';
import { proto } from '@whiskeysockets/baileys';
import { encodePoll, pollOptions } from './map-poll.ts';
import {
  mapMessage,
  readEnvelope,
  type Envelope,
  type MessageInfo,
  type Said,
} from './map-message.ts';
import {
  pairOf,
  readMoment,
  readNumber,
  readParty,
  readStanzaId,
  readText,
  type AddressPair,
  type Party,
} from './read-values.ts';
import { unwrap } from './unwrap.ts';

export type PastVote = {
  /** Undefined: ours. */
  readonly voter: string | undefined;
  readonly options: readonly string[];
  readonly votedAt: string;
};

export type PastMessage = {
  readonly envelope: Envelope;
  readonly said: Said;
  readonly info: MessageInfo;
  /** How far one of ours is. */
  readonly status: 'sent' | 'delivered' | 'read' | 'played';
  readonly votes: readonly PastVote[];
};

export type PastChat = {
  readonly party: Party;
  readonly isGroup: boolean;
  readonly name: string | undefined;
  readonly isArchived: boolean;
  readonly isPinned: boolean;
  /** Oldest first. */
  readonly messages: readonly PastMessage[];
};

/** What WhatsApp asks for before it takes a message to somebody: it was given with the conversation. */
export type PrivacyToken = {
  readonly jid: string;
  readonly token: Uint8Array;
  /** Unix seconds. */
  readonly timestamp: number;
  readonly senderTimestamp: number | undefined;
};

export type History = {
  readonly pairs: readonly AddressPair[];
  readonly people: readonly {
    readonly jid: string;
    readonly name?: string | undefined;
    readonly pushName?: string | undefined;
  }[];
  readonly chats: readonly PastChat[];
  readonly tokens: readonly PrivacyToken[];
};

const { Status, StubType } = proto.WebMessageInfo;

/** A part of what was said before. Never throws: what cannot be read is left out. */
export function mapHistory(history: proto.IHistorySync, nowMs: number): History {
  const pairs = new Map<string, AddressPair>();
  const add = (pair: AddressPair | undefined): void => {
    if (pair) pairs.set(pair.lid, pair).set(pair.jid, pair);
  };
  for (const { lidJid, pnJid } of history.phoneNumberToLidMappings ?? [])
    add(pairOf(readParty(pnJid, lidJid)));
  const { INITIAL_STATUS_V3 } = proto.HistorySync.HistorySyncType;
  const conversations = history.syncType === INITIAL_STATUS_V3 ? [] : (history.conversations ?? []);
  for (const conversation of conversations) add(pairOf(partyOf(conversation)));
  const chats = conversations.flatMap((one) => mapChat(one, { pairs, nowMs }) ?? []);
  const pushNames = (history.pushnames ?? []).flatMap(({ id, pushname }) => {
    const jid = readParty(id)?.jid;
    return jid === undefined ? [] : [{ jid, pushName: readText(pushname) }];
  });
  const names = chats.flatMap(({ party, isGroup, name }) =>
    isGroup || name === undefined ? [] : [{ jid: party.jid, name }],
  );
  return {
    pairs: [...new Set(pairs.values())],
    people: [...names, ...pushNames],
    chats,
    tokens: conversations.flatMap((conversation) => tokenOf(conversation) ?? []),
  };
}

function partyOf(conversation: proto.IConversation): Party | undefined {
  const { id, pnJid, lidJid, accountLid } = conversation;
  return readParty(id, pnJid ?? lidJid ?? accountLid ?? numberInReceipts(conversation));
}

/** Whom a receipt of one of ours is from: in a conversation of two that is whom it is with. */
function numberInReceipts({ id, messages }: proto.IConversation): string | undefined {
  if (!id?.endsWith('@lid')) return undefined;
  for (const { message } of messages ?? []) {
    const userJid = message?.key?.fromMe === true ? message.userReceipt?.[0]?.userJid : undefined;
    if (userJid?.endsWith('@s.whatsapp.net')) return userJid;
  }
  return undefined;
}

type World = { readonly pairs: ReadonlyMap<string, AddressPair>; readonly nowMs: number };

function mapChat(conversation: proto.IConversation, { pairs, nowMs }: World): PastChat | undefined {
  const own = partyOf(conversation);
  if (!own) return undefined;
  const known = pairs.get(own.jid);
  const party = known ?? own;
  const messages = (conversation.messages ?? [])
    .flatMap(({ message }) => (message ? mapPast(message, { party, nowMs }) : []))
    .toSorted((one, other) => Date.parse(one.said.at) - Date.parse(other.said.at));
  return {
    party,
    isGroup: party.jid.endsWith('@g.us'),
    name: readText(conversation.displayName) ?? readText(conversation.name),
    isArchived: conversation.archived === true,
    isPinned: (readNumber(conversation.pinned) ?? 0) > 0,
    messages,
  };
}

type Place = { readonly party: Party; readonly nowMs: number };

/** A message, and what was done to it and hangs on it. */
function mapPast(given: proto.IWebMessageInfo, { party, nowMs }: Place): PastMessage[] {
  const info: MessageInfo = { ...given, key: { ...given.key, remoteJid: party.jid } };
  const placed = readEnvelope(info, nowMs);
  const envelope = placed && { ...placed, chat: party };
  const said = envelope && readSaid(given, envelope, nowMs);
  if (!envelope || !said) return [];
  const message = {
    envelope,
    said,
    info,
    status: statusOf(given),
    votes: votesOf(given, envelope),
  };
  return [message, ...reactionsOf(given, { envelope, info })];
}

function readSaid(
  { message, messageStubType, messageSecret }: proto.IWebMessageInfo,
  envelope: Envelope,
  nowMs: number,
): Said | undefined {
  const missed = missedCall(messageStubType);
  if (missed !== undefined)
    return { content: { kind: 'system', text: missed }, at: envelope.sentAt, isForwarded: false };
  const mapped = message ? mapMessage(message, { envelope, nowMs }) : undefined;
  if (mapped?.does !== 'say') return undefined;
  if (mapped.content.kind !== 'poll' || mapped.poll || !messageSecret?.length || !message)
    return mapped;
  return { ...mapped, poll: encodePoll(unwrap(message).message, messageSecret) };
}

function missedCall(type: proto.WebMessageInfo.StubType | null | undefined): string | undefined {
  if (type === StubType.CALL_MISSED_VOICE || type === StubType.CALL_MISSED_GROUP_VOICE)
    return 'Missed voice call';
  if (type === StubType.CALL_MISSED_VIDEO || type === StubType.CALL_MISSED_GROUP_VIDEO)
    return 'Missed video call';
  return undefined;
}

function statusOf({ status }: proto.IWebMessageInfo): PastMessage['status'] {
  if (status === Status.PLAYED) return 'played';
  if (status === Status.READ) return 'read';
  return status === Status.DELIVERY_ACK ? 'delivered' : 'sent';
}

function reactionsOf(
  { reactions }: proto.IWebMessageInfo,
  { envelope, info }: Pick<PastMessage, 'envelope' | 'info'>,
): PastMessage[] {
  return (reactions ?? []).flatMap(({ key, text, senderTimestampMs }) => {
    const messageId = readStanzaId(key?.id);
    if (messageId === undefined) return [];
    const writer = envelope.isGroup ? readParty(key?.participant) : undefined;
    const isFromMe = key?.fromMe === true;
    const at = pastMoment(senderTimestampMs, envelope.sentAt);
    const content = {
      kind: 'reaction',
      target: envelope.messageId,
      emoji: readText(text) ?? null,
    } as const;
    const own = {
      ...envelope,
      messageId,
      isFromMe,
      from: writer?.jid,
      writer,
      fromName: undefined,
    };
    const said = { content, at, isForwarded: false };
    return [{ envelope: own, said, info, status: 'sent' as const, votes: [] }];
  });
}

function votesOf({ message, pollUpdates }: proto.IWebMessageInfo, envelope: Envelope): PastVote[] {
  if (!message || !pollUpdates?.length) return [];
  const names = new Map(
    pollOptions(unwrap(message).message).map((name) => [
      createHash('sha256').update(name, 'utf8').digest('hex'),
      name,
    ]),
  );
  return pollUpdates.flatMap(({ pollUpdateMessageKey: key, vote, senderTimestampMs }) => {
    const from = envelope.isGroup ? readParty(key?.participant)?.jid : envelope.chat.jid;
    if (!vote || (key?.fromMe !== true && from === undefined)) return [];
    const options = (vote.selectedOptions ?? []).flatMap(
      (hash) => names.get(Buffer.from(hash).toString('hex')) ?? [],
    );
    const votedAt = pastMoment(senderTimestampMs, envelope.sentAt);
    return [{ voter: key?.fromMe === true ? undefined : from, options, votedAt }];
  });
}

/** Days may lie between a message and what is done to it. */
function pastMoment(ms: unknown, sentAt: string): string {
  const moment = readNumber(ms);
  if (moment === undefined || moment < Date.parse(sentAt) || moment > 1e14) return sentAt;
  return readMoment(moment, new Date(Math.trunc(moment)).toISOString());
}

function tokenOf(conversation: proto.IConversation): PrivacyToken | undefined {
  const { id, tcToken, tcTokenTimestamp, tcTokenSenderTimestamp } = conversation;
  const jid = readParty(id)?.jid;
  const timestamp = readNumber(tcTokenTimestamp) ?? 0;
  if (jid === undefined || jid.endsWith('@g.us') || !tcToken?.length || timestamp <= 0)
    return undefined;
  return { jid, token: tcToken, timestamp, senderTimestamp: readNumber(tcTokenSenderTimestamp) };
}
