import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { getMediaKeys, type MediaType } from '@whiskeysockets/baileys';
import { WorldError } from './world-error.ts';

/** A file as WhatsApp's storage has it: encrypted, AES-CBC, with ten bytes of an HMAC behind it. */
export type EncryptedFile = {
  readonly bytes: Buffer;
  readonly mediaKey: Buffer;
  readonly fileSha256: Buffer;
  readonly fileEncSha256: Buffer;
  readonly fileLength: number;
};

const MAC_BYTES = 10;

export async function encryptFile(plain: Buffer, type: MediaType): Promise<EncryptedFile> {
  const mediaKey = randomBytes(32);
  const { iv, cipherKey, macKey } = await getMediaKeys(mediaKey, type);
  const cipher = createCipheriv('aes-256-cbc', cipherKey, iv);
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  const bytes = Buffer.concat([encrypted, macOf(encrypted, iv, macKey)]);
  return {
    bytes,
    mediaKey,
    fileSha256: sha256(plain),
    fileEncSha256: sha256(bytes),
    fileLength: plain.length,
  };
}

/** @throws WorldError when it was not encrypted with this key. */
export async function decryptFile(
  bytes: Buffer,
  mediaKey: Uint8Array,
  type: MediaType,
): Promise<Buffer> {
  const { iv, cipherKey, macKey } = await getMediaKeys(mediaKey, type);
  const encrypted = bytes.subarray(0, -MAC_BYTES);
  if (!macOf(encrypted, iv, macKey).equals(bytes.subarray(-MAC_BYTES))) {
    throw new WorldError('the file is damaged, or not of this key');
  }
  const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
  return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}

function macOf(encrypted: Buffer, iv: Uint8Array, macKey: Uint8Array | undefined): Buffer {
  if (!macKey) throw new Error('a media key without a key for its MAC');
  return createHmac('sha256', macKey).update(iv).update(encrypted).digest().subarray(0, MAC_BYTES);
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

export type StoredFile = {
  /** `/v/…`: what `direct_path` says. */
  readonly path: string;
  readonly bytes: Buffer;
  /** `/mms/image` and so on of an upload; undefined: nobody uploaded it, it was put here. */
  readonly uploadedTo: string | undefined;
  /** 404 or 410: it was too old, and is gone. */
  gone: number | undefined;
  downloads: number;
};

const BYTES_MAX = 512 * 1024 * 1024;

/** WhatsApp's storage of files, in memory; beyond BYTES_MAX the oldest are dropped. */
export class Files {
  readonly #files = new Map<string, StoredFile>();
  #bytes = 0;

  put(bytes: Buffer, uploadedTo?: string): StoredFile {
    const path = `/v/${randomBytes(16).toString('hex')}`;
    const file: StoredFile = { path, bytes, uploadedTo, gone: undefined, downloads: 0 };
    this.#files.set(path, file);
    this.#bytes += bytes.length;
    for (const [oldest, { bytes: dropped }] of this.#files) {
      if (this.#bytes <= BYTES_MAX || oldest === path) break;
      this.#files.delete(oldest);
      this.#bytes -= dropped.length;
    }
    return file;
  }

  /** By its path, or an address that ends in it. */
  find(address: string): StoredFile | undefined {
    const at = address.indexOf('/v/');
    return at < 0 ? undefined : this.#files.get(address.slice(at).replace(/\?.*$/, ''));
  }

  /** Oldest first. */
  list(): StoredFile[] {
    return [...this.#files.values()];
  }

  /** From now on it answers so: 404, or as WhatsApp's storage after some weeks, 410. */
  expire(address: string, status = 410): void {
    const file = this.find(address);
    if (!file) throw new WorldError(`there is no file ${address}`);
    file.gone = status;
  }
}
