import { proto, type BinaryNode } from '@whiskeysockets/baileys';
import type { MediaSays, OutgoingRow, OutgoingTarget, Quoted } from './outgoing-row.ts';

/** A file as WhatsApp's server has it, with the key that opens it. */
export type UploadedFile = {
  readonly url: string;
  readonly directPath: string;
  readonly mediaKey: Uint8Array;
  readonly fileSha256: Uint8Array;
  readonly fileEncSha256: Uint8Array;
  readonly fileLength: number;
  /** Unix seconds. */
  readonly mediaKeyTimestamp: number;
  /** Of audio, where it could be told. */
  readonly seconds: number | undefined;
};

/** What is not in the row. */
export type Circumstances = {
  /** Our own address, without a device. */
  readonly me: string;
  /** Unix milliseconds. */
  readonly now: number;
  /** 32 random bytes: votes of a poll, and reports of a message to WhatsApp, are made with it. */
  readonly secret: Uint8Array;
  /** Undefined: the message has no file. */
  readonly uploaded?: UploadedFile | undefined;
};

type Context = proto.IContextInfo | undefined;

/** Which of WhatsApp's kinds a file is sent as: its key is derived for it, and its path at their server. */
export type MediaKind = 'image' | 'video' | 'audio' | 'document' | 'sticker';

const MEDIA_KINDS: readonly string[] = ['image', 'video', 'audio', 'document', 'sticker'];

/** Undefined: a message of this type has no file. */
export function mediaKindOf(type: string): MediaKind | undefined {
  return MEDIA_KINDS.includes(type) ? (type as MediaKind) : undefined;
}

/** A message as WhatsApp has it. Undefined for a row that cannot be sent: of a kind that is only ever received, or without what its kind needs. */
export function buildContent(
  row: OutgoingRow,
  circumstances: Circumstances,
): proto.IMessage | undefined {
  const content = contentOf(row, circumstances);
  if (!content || content.reactionMessage) return content;
  return { ...content, messageContextInfo: { messageSecret: circumstances.secret } };
}

function contentOf(row: OutgoingRow, circumstances: Circumstances): proto.IMessage | undefined {
  const contextInfo = contextOf(row, circumstances);
  const body = row.body ?? '';
  switch (row.type) {
    case 'text':
      return { extendedTextMessage: withContext({ text: body }, contextInfo) };
    case 'image':
    case 'video':
    case 'audio':
    case 'document':
    case 'sticker':
      return mediaOf(row, circumstances.uploaded, contextInfo);
    case 'location':
      return locationOf(row, contextInfo);
    case 'contact':
      return contactsOf(body, contextInfo);
    case 'poll':
      return pollOf(row, contextInfo);
    case 'reaction':
      return actionOf(row, (key) => ({
        reactionMessage: { key, text: body, senderTimestampMs: circumstances.now },
      }));
    case 'edit':
      return actionOf(row, (key) => ({
        protocolMessage: {
          key,
          type: proto.Message.ProtocolMessage.Type.MESSAGE_EDIT,
          editedMessage: { extendedTextMessage: { text: body } },
          timestampMs: circumstances.now,
        },
      }));
    case 'revoke':
      return actionOf(row, (key) => ({
        protocolMessage: { key, type: proto.Message.ProtocolMessage.Type.REVOKE },
      }));
    default:
      return undefined;
  }
}

function withContext<T extends object>(content: T, contextInfo: Context): T {
  return contextInfo ? { ...content, contextInfo } : content;
}

function contextOf({ quoted, isForwarded }: OutgoingRow, { me }: Circumstances): Context {
  if (!quoted && !isForwarded) return undefined;
  return {
    ...(quoted
      ? {
          stanzaId: quoted.stanzaId,
          participant: quoted.author ?? me,
          quotedMessage: quotedContent(quoted),
        }
      : {}),
    ...(isForwarded ? { isForwarded: true, forwardingScore: 1 } : {}),
  };
}

/** As much as a phone shows above an answer; the message itself it finds by the stanza. */
function quotedContent({ text = '', type = 'text', media }: Quoted): proto.IMessage {
  const mimetype = media.mimetype ?? null;
  switch (type) {
    case 'image':
      return { imageMessage: { caption: text, mimetype } };
    case 'video':
      return { videoMessage: { caption: text, mimetype } };
    case 'audio':
      return {
        audioMessage: {
          mimetype,
          ptt: isVoice(media),
          seconds: media.duration_seconds ?? null,
        },
      };
    case 'document':
      return {
        documentMessage: { caption: text, mimetype, fileName: media.filename ?? null },
      };
    case 'sticker':
      return { stickerMessage: { mimetype } };
    case 'location':
      return { locationMessage: { name: text } };
    case 'contact':
      return { contactMessage: { displayName: nameOnCard(text), vcard: text } };
    case 'poll':
      return { pollCreationMessage: { name: text } };
    default:
      return { conversation: text };
  }
}

/** What somebody recorded is a voice message, and so is a file made like one: WhatsApp's own are Opus in Ogg. */
export function isVoice({ is_voice: said, mimetype = '' }: MediaSays): boolean {
  return said ?? /^audio\/ogg\s*;\s*codecs=opus/i.test(mimetype);
}

function mediaOf(
  { type, body, media, file }: OutgoingRow,
  uploaded: UploadedFile | undefined,
  contextInfo: Context,
): proto.IMessage | undefined {
  if (!file || !uploaded) return undefined;
  const { seconds, ...where } = uploaded;
  const content = withContext({ ...where, mimetype: file.mimetype }, contextInfo);
  const caption = body ? { caption: body } : {};
  const duration = media.duration_seconds ?? seconds;
  const length = duration === undefined ? {} : { seconds: Math.round(duration) };
  switch (type) {
    case 'image':
      return { imageMessage: { ...content, ...caption } };
    case 'video':
      return { videoMessage: { ...content, ...caption, ...length } };
    case 'audio':
      return {
        audioMessage: {
          ...content,
          ...length,
          ptt: isVoice({ ...media, mimetype: file.mimetype }),
        },
      };
    case 'sticker':
      return { stickerMessage: content };
    default: {
      const name = file.filename ?? media.filename ?? 'file';
      return { documentMessage: { ...content, ...caption, fileName: name, title: name } };
    }
  }
}

function locationOf({ location }: OutgoingRow, contextInfo: Context): proto.IMessage | undefined {
  const { latitude, longitude, name, address } = location;
  if (latitude === undefined || longitude === undefined) return undefined;
  const place = { degreesLatitude: latitude, degreesLongitude: longitude };
  return {
    locationMessage: withContext(
      { ...place, ...(name ? { name } : {}), ...(address ? { address } : {}) },
      contextInfo,
    ),
  };
}

/** The body of a contact is one vCard, or several behind one another. */
function contactsOf(body: string, contextInfo: Context): proto.IMessage | undefined {
  const cards = body.match(/BEGIN:VCARD[\s\S]*?END:VCARD/gi) ?? [];
  const contacts = cards.map((vcard) => ({ displayName: nameOnCard(vcard), vcard }));
  const [first] = contacts;
  if (!first) return undefined;
  if (contacts.length === 1) return { contactMessage: withContext(first, contextInfo) };
  const displayName = `${contacts.length} contacts`;
  return { contactsArrayMessage: withContext({ displayName, contacts }, contextInfo) };
}

function nameOnCard(vcard: string): string {
  return /^FN(?:;[^:\r\n]*)?:(.*)$/im.exec(vcard)?.[1]?.trim() ?? '';
}

/** One with a single choice is another field of theirs than one with several. */
function pollOf({ body, poll }: OutgoingRow, contextInfo: Context): proto.IMessage | undefined {
  const { options = [], selectable_count: selectable = 0 } = poll;
  if (options.length === 0) return undefined;
  const content = withContext(
    {
      name: body ?? '',
      options: options.map((optionName) => ({ optionName })),
      selectableOptionsCount: Math.min(selectable, options.length),
    },
    contextInfo,
  );
  return selectable === 1 ? { pollCreationMessageV3: content } : { pollCreationMessage: content };
}

function actionOf(
  { jid, target }: OutgoingRow,
  build: (key: proto.IMessageKey) => proto.IMessage,
): proto.IMessage | undefined {
  return target ? build(keyOf(jid, target)) : undefined;
}

function keyOf(jid: string, { stanzaId, isFromMe, author }: OutgoingTarget): proto.IMessageKey {
  const isOfGroup = jid.endsWith('@g.us') && !isFromMe && author !== undefined;
  return {
    remoteJid: jid,
    id: stanzaId,
    fromMe: isFromMe,
    ...(isOfGroup ? { participant: author } : {}),
  };
}

/** What stands around a message on its way out, besides the message: by what the message is. */
export type Envelope = {
  readonly additionalAttributes: Readonly<Record<string, string>>;
  readonly additionalNodes: BinaryNode[];
};

const EDIT = '1';
const REVOKE_OWN = '7';

export function envelopeOf(message: proto.IMessage): Envelope {
  const { MESSAGE_EDIT, REVOKE } = proto.Message.ProtocolMessage.Type;
  const type = message.protocolMessage?.type;
  const isPoll = message.pollCreationMessage ?? message.pollCreationMessageV3;
  const edit = type === MESSAGE_EDIT ? EDIT : type === REVOKE ? REVOKE_OWN : undefined;
  return {
    additionalAttributes: edit && message.protocolMessage ? { edit } : {},
    additionalNodes: isPoll ? [{ tag: 'meta', attrs: { polltype: 'creation' } }] : [],
  };
}
