import { proto } from '@whiskeysockets/baileys';
import type { Queries } from '../../../platform/postgres.ts';
import type { SecretBox } from '../../../platform/secret-box.ts';
import { keepWhatsappMessage } from '../../commands/keep-whatsapp-message.ts';
import { applyParkedReceipts } from '../../commands/park-receipts.ts';
import { queueDownloads } from '../../commands/queue-download.ts';
import { receiveMessage, type Received } from '../../commands/receive-message.ts';
import { wakeVotes } from '../../commands/waiting-votes.ts';
import type { Envelope, MessageInfo, Said } from '../../whatsapp/map-message.ts';

type Owner = { readonly accountId: number; readonly deviceId: number; readonly box: SecretBox };

export type Message = {
  readonly envelope: Envelope;
  readonly said: Said;
  readonly info: MessageInfo;
  /** As it was decrypted, for what could not be read. */
  readonly raw?: Uint8Array | undefined;
  /** False: no receipt waits for it, as whoever asks has just seen. */
  readonly isOvertaken?: boolean;
  /** Our own phone has found it again, and says whose it is. */
  readonly isResent?: boolean;
};

/** Votes come for weeks; a message that nobody could read is of use for as long as somebody remembers it. */
const POLL_DAYS = 180;
const UNKNOWN_DAYS = 30;

/**
 * A message and everything that goes with it, in the caller's transaction: the row, what its file is fetched by, what its
 * votes are opened with, and what was said of it before it came.
 */
export async function applyMessage(
  tx: Queries,
  owner: Owner,
  { envelope, said, info, raw, isOvertaken = true, isResent = false }: Message,
): Promise<Received> {
  const { accountId, deviceId, box } = owner;
  const { messageId, isFromMe } = envelope;
  const received = await receiveMessage(tx, {
    accountId,
    deviceId,
    ...envelope.chat,
    messageId,
    sentAt: said.at,
    isFromMe,
    from: envelope.from,
    writers: isResent ? undefined : writersOf(envelope),
    fromName: envelope.fromName,
    content: said.content,
    quoted: said.quoted,
    isForwarded: said.isForwarded,
  });
  if (received.outcome === 'known') return received;
  const { mediaId } = received;
  if (mediaId !== undefined && said.fetchable) {
    const download = { mediaId, info: encodeFetchable(info, said.fetchable) };
    await queueDownloads(tx, box, { accountId, deviceId, downloads: [download] });
  }
  const kept = { accountId, deviceId, messageId, isFromMe };
  if (said.poll) {
    await keepWhatsappMessage(tx, box, {
      ...kept,
      purpose: 'poll',
      message: said.poll,
      daysMax: POLL_DAYS,
    });
    await wakeVotes(tx, { accountId, deviceId }, messageId);
  } else if (said.content.kind === 'unknown' && raw && raw.length > 0) {
    const unknown = { ...kept, purpose: 'unknown' as const, daysMax: UNKNOWN_DAYS };
    await keepWhatsappMessage(tx, box, { ...unknown, message: raw });
  }
  if (isOvertaken) await applyParkedReceipts(tx, { accountId, deviceId, messageIds: [messageId] });
  return received;
}

function writersOf({ isGroup, isFromMe, from, writer }: Envelope): string[] | undefined {
  if (!isGroup || isFromMe) return undefined;
  return [from, writer?.jid, writer?.lid].flatMap((address) => address ?? []);
}

/** What a file is fetched by: the message's key, and of its content the file alone. */
export function encodeFetchable(
  { key, ...info }: MessageInfo,
  message: proto.IMessage,
): Uint8Array {
  const { remoteJid, id, fromMe, participant } = key ?? {};
  return proto.WebMessageInfo.encode(
    proto.WebMessageInfo.create({
      key: {
        remoteJid: remoteJid ?? null,
        id: id ?? null,
        fromMe: fromMe ?? null,
        participant: participant || null,
      },
      message,
      messageTimestamp: info.messageTimestamp ?? null,
    }),
  ).finish();
}
