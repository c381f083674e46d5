import { proto } from '@whiskeysockets/baileys';
import type { ReceivedContent } from '../commands/received-content.ts';
import { readForm, readWords } from './map-business.ts';
import { mapFile } from './map-file.ts';
import { mapPoll } from './map-poll.ts';
import { readNumber, readText } from './read-values.ts';

export type MappedContent = {
  readonly content: ReceivedContent;
  /** A message of nothing but the file, by which it is fetched. */
  readonly fetchable?: proto.IMessage | undefined;
};

/**
 * Fields that say nothing to people: keys, what is done to a message and not to be shown, frames of what comes on its
 * own. A message of nothing else is none.
 */
const SILENT: ReadonlySet<string> = new Set([
  'senderKeyDistributionMessage',
  'fastRatchetKeySenderKeyDistributionMessage',
  'messageContextInfo',
  'stickerSyncRmrMessage',
  'keepInChatMessage',
  'pinInChatMessage',
  'encReactionMessage',
  'encEventResponseMessage',
  'albumMessage',
  'messageHistoryBundle',
  'messageHistoryNotice',
  'scheduledCallEditMessage',
  'statusMentionMessage',
  'groupStatusMentionMessage',
  'statusNotificationMessage',
  'statusStickerInteractionMessage',
  'declinePaymentRequestMessage',
  'cancelPaymentRequestMessage',
  'chat',
  'call',
] satisfies (keyof proto.IMessage)[]);

/**
 * What an unwrapped message says. `unknown` for what WhatsApp has come up with since; undefined for what is no message.
 * Never throws, whatever was decoded.
 */
export function mapContent(message: proto.IMessage): MappedContent | undefined {
  const text = readText(message.conversation) ?? readText(message.extendedTextMessage?.text);
  if (text !== undefined) return { content: { kind: 'text', text } };
  const simple = mapFile(message) ?? mapPlace(message) ?? mapCards(message);
  if (simple) return simple;
  const poll = mapPoll(message) ?? mapNotice(message);
  if (poll) return { content: poll };
  const form = readForm(message);
  if (form) return mapForm(form);
  const words = readWords(message);
  if (words !== undefined) return { content: { kind: 'text', text: words } };
  if (message.commentMessage?.message) return mapContent(message.commentMessage.message);
  return isSilent(message) ? undefined : { content: { kind: 'unknown' } };
}

/** The words of a message, as a reply to it shows them. */
export function textOf(message: proto.IMessage): string | undefined {
  const content = mapContent(message)?.content;
  if (!content) return undefined;
  if ('text' in content) return content.text;
  if ('caption' in content) return content.caption;
  if ('question' in content) return content.question;
  return 'name' in content ? content.name : undefined;
}

function mapForm({ text, header }: NonNullable<ReturnType<typeof readForm>>): MappedContent {
  const shown = header && (mapFile(header) ?? mapPlace(header));
  if (shown && 'file' in shown.content)
    return { ...shown, content: { ...shown.content, caption: text ?? shown.content.caption } };
  if (text !== undefined) return { content: { kind: 'text', text } };
  return shown ?? { content: { kind: 'unknown' } };
}

function mapPlace({
  locationMessage,
  liveLocationMessage,
}: proto.IMessage): MappedContent | undefined {
  const place = locationMessage ?? liveLocationMessage;
  if (!place) return undefined;
  const latitude = readNumber(place.degreesLatitude);
  const longitude = readNumber(place.degreesLongitude);
  const isOnEarth =
    latitude !== undefined &&
    longitude !== undefined &&
    Math.abs(latitude) <= 90 &&
    Math.abs(longitude) <= 180;
  if (!isOnEarth) return { content: { kind: 'unknown' } };
  const name = locationMessage
    ? (readText(locationMessage.name) ?? readText(locationMessage.comment))
    : readText(liveLocationMessage?.caption);
  const address = readText(locationMessage?.address);
  return { content: { kind: 'location', latitude, longitude, name, address } };
}

function mapCards({
  contactMessage,
  contactsArrayMessage,
}: proto.IMessage): MappedContent | undefined {
  const cards = contactMessage ? [contactMessage] : (contactsArrayMessage?.contacts ?? []);
  if (!contactMessage && !contactsArrayMessage) return undefined;
  const vcards = cards.flatMap(({ vcard, displayName }) => {
    return readText(vcard) ?? readText(displayName) ?? [];
  });
  if (vcards.length === 0) return { content: { kind: 'unknown' } };
  return { content: { kind: 'contact', vcard: vcards.join('\n') } };
}

/** What WhatsApp itself says in a chat and people look for there. */
function mapNotice(message: proto.IMessage): ReceivedContent | undefined {
  const { callLogMesssage: call } = message;
  if (call) {
    const { MISSED, REJECTED, SILENCED_UNKNOWN_CALLER } = proto.Message.CallLogMessage.CallOutcome;
    const outcome = call.callOutcome ?? undefined;
    const isMissed = [MISSED, REJECTED, SILENCED_UNKNOWN_CALLER].includes(outcome ?? MISSED);
    const what = call.isVideo ? 'video call' : 'voice call';
    return { kind: 'system', text: isMissed ? `Missed ${what}` : `A ${what}` };
  }
  if (message.requestPhoneNumberMessage)
    return { kind: 'system', text: 'They would like to know your phone number' };
  if (message.requestPaymentMessage) return { kind: 'system', text: 'They ask for a payment' };
  if (message.sendPaymentMessage) return { kind: 'system', text: 'A payment' };
  return undefined;
}

function isSilent(message: proto.IMessage): boolean {
  return Object.entries(message).every(
    ([name, value]) => value === null || value === undefined || value === '' || SILENT.has(name),
  );
}
