import type { proto } from '@whiskeysockets/baileys';
import type { ReceivedContent } from '../commands/received-content.ts';
import { readNumber, readText } from './read-values.ts';

type FileContent = Extract<ReceivedContent, { file: unknown }>;

/** A file that came with a message, and the message without everything else, by which it is fetched. */
export type MappedFile = { readonly content: FileContent; readonly fetchable: proto.IMessage };

/** Undefined: no file in it. */
export function mapFile(message: proto.IMessage): MappedFile | undefined {
  const { imageMessage, videoMessage, ptvMessage, audioMessage, documentMessage, stickerMessage } =
    message;
  if (imageMessage) {
    const file = fileOf(imageMessage, 'image/jpeg');
    const content = { kind: 'image', caption: readText(imageMessage.caption), file } as const;
    return { content, fetchable: { imageMessage } };
  }
  const video = videoMessage ?? ptvMessage;
  if (video) {
    const file = { ...fileOf(video, 'video/mp4'), durationSeconds: readSeconds(video.seconds) };
    const content = { kind: 'video', caption: readText(video.caption), file } as const;
    return { content, fetchable: videoMessage ? { videoMessage } : { ptvMessage: video } };
  }
  if (audioMessage) {
    const file = {
      ...fileOf(audioMessage, 'audio/ogg'),
      durationSeconds: readSeconds(audioMessage.seconds),
      isVoice: audioMessage.ptt === true,
    };
    return { content: { kind: 'audio', file }, fetchable: { audioMessage } };
  }
  if (documentMessage) {
    const { fileName, title, caption } = documentMessage;
    const filename = readText(fileName) ?? readText(title);
    const file = { ...fileOf(documentMessage, 'application/octet-stream'), filename };
    const content = { kind: 'document', caption: readText(caption), file } as const;
    return { content, fetchable: { documentMessage } };
  }
  if (stickerMessage) {
    const file = fileOf(stickerMessage, 'image/webp');
    return { content: { kind: 'sticker', file }, fetchable: { stickerMessage } };
  }
  return undefined;
}

type Described = { mimetype?: string | null; fileLength?: unknown };

function fileOf({ mimetype, fileLength }: Described, fallback: string) {
  return { mimetype: readText(mimetype) ?? fallback, size: readNumber(fileLength) };
}

function readSeconds(value: unknown): number | undefined {
  const seconds = readNumber(value);
  return seconds !== undefined && seconds > 0 ? seconds : undefined;
}
