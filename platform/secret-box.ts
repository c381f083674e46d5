import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ClarinError } from '../domain/errors.ts';

/**
 * Secrets of others that we must be able to use again, sealed before they reach the database: who reads it, or a copy
 * of it, has nothing. AES-256-GCM, NIST SP 800-38D.
 *
 *   1 byte version | 12 bytes nonce | 16 bytes tag | the text or bytes, encrypted
 *
 * The nonce is random: with 96 bits, 2^32 secrets under one key are safe. `place` says where a secret is kept, table,
 * row and column; it is authenticated and not stored, so that one that was copied elsewhere cannot be opened there.
 */
export type SecretBox = {
  seal(text: string, place: string): Buffer;
  /** @throws ClarinError `configuration` for what was sealed with another key or for another place, or was altered. */
  open(sealed: Uint8Array, place: string): string;
  sealBytes(bytes: Uint8Array, place: string): Buffer;
  /** What is given shares its memory with nothing. @throws as `open`. */
  openBytes(sealed: Uint8Array, place: string): Buffer;
};

const ALGORITHM = 'aes-256-gcm';
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + NONCE_BYTES + TAG_BYTES;

/** `key`: 32 bytes. @throws RangeError for another length. */
export function createSecretBox(key: Uint8Array): SecretBox {
  if (key.length !== 32) throw new RangeError(`a key of ${key.length} bytes, not of 32`);
  const sealBytes = (bytes: Uint8Array, place: string): Buffer => {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(place, 'utf8'));
    const body = Buffer.concat([cipher.update(bytes), cipher.final()]);
    return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), body]);
  };
  const openBytes = (sealed: Uint8Array, place: string): Buffer => {
    const bytes = Buffer.from(sealed);
    if (bytes.length < HEADER_BYTES || bytes[0] !== VERSION) throw unreadable();
    const tagAt = 1 + NONCE_BYTES;
    const nonce = bytes.subarray(1, tagAt);
    const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(place, 'utf8'));
    decipher.setAuthTag(bytes.subarray(tagAt, HEADER_BYTES));
    try {
      const body = decipher.update(bytes.subarray(HEADER_BYTES));
      return Buffer.concat([body, decipher.final()]);
    } catch (error) {
      throw unreadable(error);
    }
  };
  return {
    sealBytes,
    openBytes,
    seal: (text, place) => sealBytes(Buffer.from(text, 'utf8'), place),
    open: (sealed, place) => openBytes(sealed, place).toString('utf8'),
  };
}

function unreadable(cause?: unknown): ClarinError {
  return new ClarinError(
    'configuration',
    'a sealed secret cannot be opened: is CLARIN_ENCRYPTION_KEY the one it was sealed with?',
    { cause },
  );
}
