import { createDecipheriv, createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { MAC_BYTES, keysOf } from './encrypt-file.ts';
import type { FetchableFile } from './file-address.ts';

/** What came is not what was sent. */
export class DamagedFile extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DamagedFile';
  }
}

/**
 * The bytes of a file as they were, from those that WhatsApp keeps (see encrypt-file.ts). What is wrong with them shows
 * at the end, so whoever stores them keeps nothing unless it ends well: neither Baileys nor anybody else looks at what
 * authenticates a file before it is shown. @throws DamagedFile; what the source does.
 */
export async function* decryptFile(
  source: AsyncIterable<Uint8Array>,
  { kind, mediaKey, fileSha256 }: Pick<FetchableFile, 'kind' | 'mediaKey' | 'fileSha256'>,
): AsyncGenerator<Buffer> {
  const { cipherKey, iv, macKey } = await keysOf(mediaKey, kind);
  const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
  const mac = createHmac('sha256', macKey).update(iv);
  const hash = createHash('sha256');
  let tail = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = Buffer.concat([tail, chunk]);
    const end = Math.max(0, bytes.length - MAC_BYTES);
    tail = bytes.subarray(end);
    if (end === 0) continue;
    const sealed = bytes.subarray(0, end);
    mac.update(sealed);
    const plain = decipher.update(sealed);
    hash.update(plain);
    if (plain.length > 0) yield plain;
  }
  const expected = mac.digest().subarray(0, MAC_BYTES);
  if (tail.length !== MAC_BYTES || !timingSafeEqual(tail, expected))
    throw new DamagedFile('the file is not authentic');
  const last = finish(() => decipher.final());
  hash.update(last);
  if (fileSha256 && !hash.digest().equals(fileSha256))
    throw new DamagedFile('the file is another one than was sent');
  if (last.length > 0) yield last;
}

function finish(work: () => Buffer): Buffer {
  try {
    return work();
  } catch (error) {
    throw new DamagedFile('the file does not end where it should', { cause: error });
  }
}
