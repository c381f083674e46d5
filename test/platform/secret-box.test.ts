import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../platform/config.ts';
import { createSecretBox } from '../../platform/secret-box.ts';

const box = createSecretBox(randomBytes(32));
const PLACE = 'kommo_tokens/7/access_token';
const refused = expect.objectContaining({ code: 'configuration' }) as Error;

describe('a sealed secret', () => {
  it('is opened where it was sealed, whatever it says', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(box.open(box.seal(text, PLACE), PLACE)).toBe(text);
      }),
    );
  });

  it('may be bytes of any kind, which come back as a Buffer of their own', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const opened = box.openBytes(box.sealBytes(bytes, PLACE), PLACE);
        expect(Buffer.isBuffer(opened)).toBe(true);
        expect(opened.equals(bytes)).toBe(true);
      }),
    );
    const sealed = box.sealBytes(Buffer.of(0xff, 0, 0xfe), PLACE);
    expect(() => box.openBytes(sealed, 'kommo_tokens/8/access_token')).toThrow(refused);
  });

  it('shows nothing of itself and is never the same twice', () => {
    const [one, two] = [box.seal('a token', PLACE), box.seal('a token', PLACE)];
    expect(one.equals(two)).toBe(false);
    expect(one.includes('token')).toBe(false);
    expect(one[0]).toBe(1);
  });

  it('[A11] is not opened in another place, by another key, or with any bit changed', () => {
    const sealed = box.seal('a token', PLACE);
    expect(() => box.open(sealed, 'kommo_tokens/8/access_token')).toThrow(refused);
    expect(() => createSecretBox(randomBytes(32)).open(sealed, PLACE)).toThrow(refused);
    for (let at = 0; at < sealed.length; at++) {
      const altered = Buffer.from(sealed);
      altered.writeUInt8(sealed.readUInt8(at) ^ 1, at);
      expect(() => box.open(altered, PLACE)).toThrow(refused);
    }
  });

  it('that was cut is not opened', () => {
    const sealed = box.seal('a token', PLACE);
    for (let length = 0; length < sealed.length; length++)
      expect(() => box.open(sealed.subarray(0, length), PLACE)).toThrow(refused);
  });
});

describe('the key', () => {
  const read = (key: string | undefined) =>
    readConfig(
      { DATABASE_URL: 'postgres://127.0.0.1/x', CLARIN_ENCRYPTION_KEY: key },
      { redis: false, secret: false, media: false, encryption: true },
    ).encryptionKey;

  it('is 32 bytes in hex or in base64', () => {
    const key = randomBytes(32);
    for (const encoding of ['hex', 'base64', 'base64url'] as const)
      expect(read(key.toString(encoding))).toEqual(key);
  });

  it('of another length is refused, and so is none', () => {
    expect(() => read(randomBytes(31).toString('hex'))).toThrow('is not 32 bytes');
    expect(() => read('a passphrase that somebody chose')).toThrow('is not 32 bytes');
    expect(() => read(undefined)).toThrow('CLARIN_ENCRYPTION_KEY is missing');
    expect(() => createSecretBox(randomBytes(16))).toThrow(RangeError);
  });
});
