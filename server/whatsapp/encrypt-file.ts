import { createCipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { getMediaKeys } from '@whiskeysockets/baileys';
import type { MediaKind } from './build-content.ts';

export const MAC_BYTES = 10;

export type EncryptedFile = {
  readonly mediaKey: Uint8Array;
  readonly fileSha256: Uint8Array;
  readonly fileEncSha256: Uint8Array;
  /** Of the file as it was. */
  readonly fileLength: number;
};

type Options = { readonly kind: MediaKind; readonly path: string; readonly signal: AbortSignal };

/**
 * Writes a file as WhatsApp's servers keep it: AES-256-CBC, and behind it the beginning of an HMAC-SHA256 over the
 * initialization vector and all of it; keys by HKDF from a random one, which goes with the message. Memory does not grow
 * with the file. (Baileys' own ends the process when the disk is full: nobody listens to the file's errors there.)
 * @throws what the stream or the disk failed with; the signal's reason.
 */
export async function encryptFile(
  source: Readable,
  { kind, path, signal }: Options,
): Promise<EncryptedFile> {
  const mediaKey = randomBytes(32);
  const { cipherKey, iv, macKey } = await keysOf(mediaKey, kind);
  const cipher = createCipheriv('aes-256-cbc', cipherKey, iv);
  const mac = createHmac('sha256', macKey).update(iv);
  const plainHash = createHash('sha256');
  const sealedHash = createHash('sha256');
  let fileLength = 0;
  const seal = (bytes: Buffer): Buffer => {
    mac.update(bytes);
    sealedHash.update(bytes);
    return bytes;
  };
  async function* encrypt(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      fileLength += chunk.length;
      plainHash.update(chunk);
      yield seal(cipher.update(chunk));
    }
    yield seal(cipher.final());
    const tag = mac.digest().subarray(0, MAC_BYTES);
    sealedHash.update(tag);
    yield tag;
  }
  await pipeline(source, encrypt, createWriteStream(path, { flags: 'wx', mode: 0o600 }), {
    signal,
  });
  return {
    mediaKey,
    fileSha256: plainHash.digest(),
    fileEncSha256: sealedHash.digest(),
    fileLength,
  };
}

type Keys = {
  readonly cipherKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly macKey: Uint8Array;
};

/** @throws what Baileys does for a key that is none. */
export async function keysOf(mediaKey: Uint8Array, kind: MediaKind): Promise<Keys> {
  const { cipherKey, iv, macKey } = await getMediaKeys(mediaKey, kind);
  if (!macKey) throw new Error('there is no key to authenticate a file with');
  return { cipherKey, iv, macKey };
}
