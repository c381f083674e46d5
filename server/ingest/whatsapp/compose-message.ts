import { randomBytes } from 'node:crypto';
import { getAudioDuration, proto } from '@whiskeysockets/baileys';
import type { Queries } from '../../../platform/postgres.ts';
import type { Claimed } from '../../commands/claim-outgoing.ts';
import { keepWhatsappMessage, readWhatsappMessages } from '../../commands/keep-whatsapp-message.ts';
import { buildContent, mediaKindOf, type UploadedFile } from '../../whatsapp/build-content.ts';
import { SEND_REFUSALS, SendRefusal } from '../../whatsapp/judge-send.ts';
import type { MediaHosts } from '../../whatsapp/media-hosts.ts';
import type { OutgoingFile, OutgoingRow } from '../../whatsapp/outgoing-row.ts';
import { uploadFile } from '../../whatsapp/upload-file.ts';
import type { DeviceContext, Linked } from './device-context.ts';

/** For as long as somebody may ask for it again because it could not be decrypted. */
const SENT_DAYS = 14;
/** Votes come for as long as people find the poll. */
const POLL_DAYS = 365;

export type Composing = {
  readonly context: DeviceContext;
  readonly linked: Linked;
  readonly hosts: (options?: { isStale: boolean }) => Promise<MediaHosts>;
  readonly uploads: Uploads;
  readonly signal: AbortSignal;
};

/** The message as it was sent before. The same again: what others have of it, a poll's secret or a file's key, fits. */
export async function readKept(
  { context }: Composing,
  { row, attempts }: Claimed,
): Promise<proto.IMessage | undefined> {
  if (attempts <= 1) return undefined;
  const { accountId, deviceId, database, box } = context;
  const which = { accountId, deviceId, messageId: row.stanzaId };
  const kept = await readWhatsappMessages(database, box, which);
  const ours = kept.find(({ isFromMe }) => isFromMe);
  return ours && proto.Message.decode(ours.message);
}

/** @throws SendRefusal for what cannot be sent; SendFault; ClarinError `unavailable` of the store; the signal's reason. */
export async function composeMessage(
  composing: Composing,
  row: OutgoingRow,
): Promise<proto.IMessage> {
  const uploaded = await uploadOf(composing, row);
  const message = buildContent(row, {
    me: composing.linked.me.jid,
    now: composing.context.clock.now(),
    secret: randomBytes(32),
    uploaded,
  });
  if (!message) throw new SendRefusal(SEND_REFUSALS.not_sendable);
  return message;
}

/** Before it leaves: the first who asks for it again does so at once. */
export function keepMessage(
  tx: Queries,
  { accountId, deviceId, box }: DeviceContext,
  { row, message }: { readonly row: OutgoingRow; readonly message: proto.IMessage },
): Promise<void> {
  const isPoll = row.type === 'poll';
  return keepWhatsappMessage(tx, box, {
    accountId,
    deviceId,
    messageId: row.stanzaId,
    isFromMe: true,
    purpose: isPoll ? 'poll' : 'sent',
    message: proto.Message.encode(proto.Message.fromObject(message)).finish(),
    daysMax: isPoll ? POLL_DAYS : SENT_DAYS,
  });
}

/** Files that were uploaded, by file and kind: a campaign uploads its one once. */
export type Uploads = Map<string, { readonly file: UploadedFile; readonly at: number }>;

const UPLOADS_MAX = 50;
/** WhatsApp keeps files for about two weeks; who is away for long must still find it. */
const REUSED_FOR_MS = 6 * 3_600_000;

async function uploadOf(
  { context, hosts, uploads, signal }: Composing,
  { type, file, media }: OutgoingRow,
): Promise<UploadedFile | undefined> {
  const kind = mediaKindOf(type);
  if (!kind || !file) return undefined;
  const { clock } = context;
  const name = `${file.id}:${kind}`;
  const known = uploads.get(name);
  if (known && clock.elapsed() - known.at < REUSED_FOR_MS) return known.file;
  const uploaded = await uploadFile(await open(context, file), {
    kind,
    hosts,
    now: () => clock.now(),
    signal,
  });
  const isMeasured = kind === 'audio' && media.duration_seconds === undefined;
  const seconds = isMeasured ? await measure(context, file) : undefined;
  const whole = { ...uploaded, seconds };
  uploads.delete(name);
  uploads.set(name, { file: whole, at: clock.elapsed() });
  for (const oldest of uploads.keys()) {
    if (uploads.size <= UPLOADS_MAX) break;
    uploads.delete(oldest);
  }
  return whole;
}

async function open({ media }: DeviceContext, { objectKey }: OutgoingFile) {
  const got = await media.get(objectKey);
  if (!got) throw new SendRefusal(SEND_REFUSALS.file_gone);
  return got.stream;
}

/** How long a sound is, which a phone shows before it has fetched it. Undefined: it cannot be told, and none is shown. */
async function measure(context: DeviceContext, file: OutgoingFile): Promise<number | undefined> {
  const stream = await open(context, file);
  try {
    return await getAudioDuration(stream);
  } catch {
    return undefined;
  } finally {
    stream.destroy();
  }
}
