import type { MediaType, proto } from '@whiskeysockets/baileys';
import { encryptFile } from './files.ts';
import type { World } from './world.ts';
import { WorldError } from './world-error.ts';

export type MediaInput = {
  readonly kind: 'image' | 'video' | 'ptv' | 'audio' | 'voice' | 'document' | 'sticker';
  readonly bytes: Buffer;
  readonly mimetype?: string | undefined;
  readonly caption?: string | undefined;
  readonly fileName?: string | undefined;
  readonly seconds?: number | undefined;
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly thumbnail?: Buffer | undefined;
  /**
   * `http`, the default: an address and no path, so that Baileys takes the address as it is, without TLS. `https`: both, as
   * WhatsApp's are; the client has to trust the certificate.
   */
  readonly by?: 'http' | 'https' | undefined;
};

/** Where files are: what a message about one says. */
export type Places = { readonly http: string; readonly https: string };

const MIMETYPES = {
  image: 'image/jpeg',
  video: 'video/mp4',
  ptv: 'video/mp4',
  audio: 'audio/mpeg',
  voice: 'audio/ogg; codecs=opus',
  document: 'application/pdf',
  sticker: 'image/webp',
} as const;
const TYPES = {
  image: 'image',
  video: 'video',
  ptv: 'video',
  audio: 'audio',
  voice: 'audio',
  document: 'document',
  sticker: 'sticker',
} as const satisfies Record<MediaInput['kind'], MediaType>;

/** A message with a file, which is put where it can be fetched. */
export async function mediaContent(
  world: World,
  places: Places,
  input: MediaInput,
): Promise<proto.IMessage> {
  const { kind, by = 'http' } = input;
  const file = await encryptFile(input.bytes, TYPES[kind]);
  const { path } = world.files.put(file.bytes);
  const { mediaKey, fileSha256, fileEncSha256, fileLength } = file;
  const about = {
    url: `${places[by]}${path}`,
    ...(by === 'https' && { directPath: path }),
    mediaKey,
    mediaKeyTimestamp: Math.floor(Date.now() / 1_000),
    fileSha256,
    fileEncSha256,
    fileLength,
    mimetype: input.mimetype ?? MIMETYPES[kind],
  };
  const { caption, width, height, seconds, fileName, thumbnail } = input;
  const texts = caption === undefined ? {} : { caption };
  const picture = {
    ...(thumbnail && { jpegThumbnail: thumbnail }),
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
  };
  const length = seconds === undefined ? {} : { seconds };
  switch (kind) {
    case 'image':
      return { imageMessage: { ...about, ...texts, ...picture } };
    case 'video':
      return { videoMessage: { ...about, ...texts, ...picture, ...length } };
    case 'ptv':
      return { ptvMessage: { ...about, ...picture, ...length } };
    case 'audio':
    case 'voice':
      return { audioMessage: { ...about, ...length, ptt: kind === 'voice' } };
    case 'document':
      return { documentMessage: { ...about, ...texts, fileName: fileName ?? 'documento.pdf' } };
    case 'sticker':
      return { stickerMessage: { ...about, ...picture } };
    default:
      return kind satisfies never;
  }
}

/** What a message says about its file. */
export type MediaPart = {
  readonly mediaKey: Uint8Array;
  readonly type: MediaType;
  /** Its path, or its address. */
  readonly address: string;
};

/** @throws WorldError when the message has none. */
export function mediaPartOf(content: proto.IMessage): MediaPart {
  const inner = unwrap(content);
  const found = (
    [
      ['image', inner.imageMessage],
      ['video', inner.videoMessage ?? inner.ptvMessage],
      ['audio', inner.audioMessage],
      ['document', inner.documentMessage],
      ['sticker', inner.stickerMessage],
    ] as const
  ).find(([, part]) => part?.mediaKey);
  const [type, part] = found ?? [];
  const address = part?.directPath ?? part?.url;
  if (!type || !part?.mediaKey || !address) throw new WorldError('a message without a file');
  return { mediaKey: part.mediaKey, type, address };
}

function unwrap(content: proto.IMessage): proto.IMessage {
  const inside =
    content.ephemeralMessage ??
    content.viewOnceMessage ??
    content.viewOnceMessageV2 ??
    content.documentWithCaptionMessage;
  return inside?.message ? unwrap(inside.message) : content;
}
