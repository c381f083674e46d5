import type { BinaryNode } from '@whiskeysockets/baileys';
import type { Encrypted } from './signal-party.ts';

/** Of an `<enc>`. */
export function readEnc(enc: BinaryNode): Encrypted {
  const type = enc.attrs['type'] === 'pkmsg' ? 'pkmsg' : 'msg';
  return { type, ciphertext: enc.content instanceof Uint8Array ? enc.content : new Uint8Array() };
}
