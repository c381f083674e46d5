import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import { getMediaKeys, proto } from '@whiskeysockets/baileys';
import { FileGone } from './fetch-file.ts';
import { DamagedFile } from './decrypt-file.ts';
import { fileAddress } from './file-address.ts';

/** Of a part, as it is kept and as it is unpacked: it is held in memory, and no phone sends one as large. */
const BYTES_MAX = 64 * 1024 * 1024;
const UNPACKED_MAX = 256 * 1024 * 1024;
/**
 * Numbers that are read to decode it, two or three for each field: a field takes two bytes and, decoded, a hundred times
 * as much, so that a small part could be more than the process has. Ten times what the largest phone sends.
 */
const NUMBERS_MAX = 4_000_000;
const MAC_BYTES = 10;
const TIMEOUT_MS = 10 * 60_000;
/** It is never asked for again once its time is over. */
const GONE = [403, 404, 410];

const unpack = promisify(inflate);

/** More than we take, now and whenever it is asked for again. */
export class HistoryTooLarge extends Error {
  constructor(what: string, options?: ErrorOptions) {
    super(`a part of history is too large: ${what}`, options);
    this.name = 'HistoryTooLarge';
  }
}

/** What Baileys decodes with: it takes no reader that is not of its own library. */
type Reader = Uint8Array & { uint32(): number };
const ofBaileys = createRequire(createRequire(import.meta.url).resolve('@whiskeysockets/baileys'));
const protobuf = ofBaileys('protobufjs/minimal') as {
  readonly Reader: { create(bytes: Uint8Array): Reader };
};

/**
 * A part of history, from the notification itself where it is small, else from WhatsApp's host. Not as Baileys fetches it:
 * that neither ends when it is asked to, nor looks at what authenticates it, nor has a bound.
 * @throws FileGone, DamagedFile, HistoryTooLarge, and whatever ends a connection.
 */
export async function fetchHistory(
  notification: proto.Message.IHistorySyncNotification,
  signal: AbortSignal,
): Promise<proto.IHistorySync> {
  const { initialHistBootstrapInlinePayload: inline, directPath, mediaKey } = notification;
  if (inline?.length) return readHistory(inline);
  const address = fileAddress(
    { url: undefined, directPath: directPath ?? undefined },
    { isFake: false },
  );
  if (!address || !mediaKey?.length) throw new DamagedFile('a part of history that is nowhere');
  const response = await fetch(address, {
    redirect: 'error',
    headers: { origin: 'https://web.whatsapp.com' },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const { status, body } = response;
  if (response.ok && body) return readHistory(await openHistory(await collect(body), mediaKey));
  await body?.cancel();
  if (GONE.includes(status)) throw new FileGone(status);
  throw new Error(`a host for files answered ${status}`);
}

/** What it was before it was sealed, packed still. @throws DamagedFile. */
export async function openHistory(sealed: Uint8Array, mediaKey: Uint8Array): Promise<Buffer> {
  const { cipherKey, iv, macKey } = await getMediaKeys(Buffer.from(mediaKey), 'md-msg-hist');
  const end = sealed.length - MAC_BYTES;
  if (!macKey || end <= 0) throw new DamagedFile('a part of history without an end');
  const body = sealed.subarray(0, end);
  const mac = createHmac('sha256', macKey).update(iv).update(body).digest().subarray(0, MAC_BYTES);
  if (!timingSafeEqual(mac, sealed.subarray(end)))
    throw new DamagedFile('a part of history that is not authentic');
  const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
  return Buffer.concat([decipher.update(body), decipher.final()]);
}

async function readHistory(packed: Uint8Array): Promise<proto.IHistorySync> {
  const bytes = await unpack(packed, { maxOutputLength: UNPACKED_MAX }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE') throw error;
    throw new HistoryTooLarge('unpacked', { cause: error });
  });
  return proto.HistorySync.decode(countingReader(bytes));
}

/** Every tag and every length goes by `uint32`, at whatever depth. */
function countingReader(bytes: Uint8Array): Reader {
  const reader = protobuf.Reader.create(bytes);
  const read = reader.uint32.bind(reader);
  let left = NUMBERS_MAX;
  reader.uint32 = () => {
    if (left-- <= 0) throw new HistoryTooLarge('decoded');
    return read();
  };
  return reader;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > BYTES_MAX) throw new DamagedFile('a part of history that does not end');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
