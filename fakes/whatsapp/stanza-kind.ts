import { normalizeMessageContent, proto } from '@whiskeysockets/baileys';

const { ProtocolMessage } = proto.Message;
const MEDIA = [
  'imageMessage',
  'videoMessage',
  'ptvMessage',
  'audioMessage',
  'documentMessage',
  'stickerMessage',
  'contactMessage',
  'contactsArrayMessage',
  'liveLocationMessage',
] as const;

/** Attribute `type` of a message's stanza. */
export function typeOf(content: proto.IMessage): string {
  const inner = normalizeMessageContent(content) ?? content;
  if (inner.reactionMessage) return 'reaction';
  const isPoll =
    inner.pollCreationMessage ??
    inner.pollCreationMessageV2 ??
    inner.pollCreationMessageV3 ??
    inner.pollUpdateMessage;
  if (isPoll) return 'poll';
  return MEDIA.some((name) => inner[name]) ? 'media' : 'text';
}

/** Attribute `edit`: 1 an edit, 7 a revoke by who wrote it. */
export function editOf(content: proto.IMessage): string | undefined {
  const type = (normalizeMessageContent(content) ?? content).protocolMessage?.type;
  if (type === ProtocolMessage.Type.MESSAGE_EDIT) return '1';
  return type === ProtocolMessage.Type.REVOKE ? '7' : undefined;
}
