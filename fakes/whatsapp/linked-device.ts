import { encodeBigEndian, KEY_BUNDLE_TYPE, type BinaryNode } from '@whiskeysockets/baileys';
import { lidJid, phoneJid } from './addresses.ts';
import type { Person } from './person.ts';
import type { Bundle } from './signal-party.ts';
import { StanzaQueue } from './stanza-queue.ts';

type PreKey = NonNullable<Bundle['preKey']>;

/** What a device said about one message: that it has it, that it was read, that it wants it again. */
export type SentReceipt = {
  readonly id: string;
  readonly to: string;
  /** `delivered` when it bore none. */
  readonly type: string;
  readonly atMs: number;
};

const PRE_KEYS_MAX = 2_000;
const RECEIPTS_MAX = 20_000;

/** A device that somebody has linked with a phone: what Clarin calls a device, one session of Baileys. */
export class LinkedDevice {
  readonly owner: Person;
  /** 1 and up; the phone is 0. */
  readonly number: number;
  /** Static Noise key: who logs in with another one is somebody else. */
  readonly noiseKey: Buffer;
  readonly queue = new StanzaQueue();
  /** What others call it in their sessions with it, whatever becomes of its LID. */
  readonly signalJid: string;
  /** Removed on the phone, or logged out: it is told 401 from then on. */
  isRemoved = false;
  #keys: Omit<Bundle, 'preKey'>;
  readonly #preKeys: PreKey[] = [];
  #preKeysUsed = 0;
  #receipts: SentReceipt[] = [];
  #lane: Promise<unknown> = Promise.resolve();

  constructor(owner: Person, options: { number: number; noiseKey: Uint8Array; bundle: Bundle }) {
    this.owner = owner;
    this.number = options.number;
    this.noiseKey = Buffer.from(options.noiseKey);
    this.signalJid = lidJid(owner.lid, options.number);
    this.#keys = options.bundle;
  }

  /** `51999000001:3@s.whatsapp.net`: its name here, and in its credentials. */
  get jid(): string {
    return phoneJid(this.owner.phone, this.number);
  }

  get lidJid(): string {
    return lidJid(this.owner.lid, this.number);
  }

  get preKeys(): { readonly left: number; readonly used: number } {
    return { left: this.#preKeys.length, used: this.#preKeysUsed };
  }

  get identityKey(): Uint8Array {
    return this.#keys.identityKey;
  }

  /** What the server tells who wants to write to it. */
  keysNode(jid: string): BinaryNode {
    const { registrationId, identityKey, signedPreKey, preKey } = this.takeBundle();
    const content: BinaryNode[] = [
      { tag: 'registration', attrs: {}, content: encodeBigEndian(registrationId) },
      { tag: 'type', attrs: {}, content: KEY_BUNDLE_TYPE },
      { tag: 'identity', attrs: {}, content: withoutType(identityKey) },
      keyNode('skey', signedPreKey),
    ];
    if (preKey) content.push(keyNode('key', preKey));
    return { tag: 'user', attrs: { jid }, content };
  }

  /** For a new session with it; a one-time key is used up, if it has uploaded any. */
  takeBundle(): Bundle {
    const preKey = this.#preKeys.shift();
    if (!preKey) return this.#keys;
    this.#preKeysUsed += 1;
    return { ...this.#keys, preKey };
  }

  upload(keys: Omit<Bundle, 'preKey'>, preKeys: readonly PreKey[]): void {
    this.#keys = keys;
    this.#preKeys.push(...preKeys);
    this.#preKeys.splice(0, Math.max(0, this.#preKeys.length - PRE_KEYS_MAX));
  }

  rotate(signedPreKey: Bundle['signedPreKey']): void {
    this.#keys = { ...this.#keys, signedPreKey };
  }

  /** A receipt that it sent, oldest first, the last RECEIPTS_MAX. */
  receipts(): readonly SentReceipt[] {
    return this.#receipts;
  }

  noteReceipt(receipt: SentReceipt): void {
    this.#receipts.push(receipt);
    if (this.#receipts.length > RECEIPTS_MAX * 1.1) {
      this.#receipts = this.#receipts.slice(-RECEIPTS_MAX);
    }
  }

  /** One after the other, in the order of the calls: what is written to it keeps its order through the encryption. */
  inOrder<T>(write: () => Promise<T>): Promise<T> {
    const written = this.#lane.then(write);
    this.#lane = written.catch(() => undefined);
    return written;
  }

  /** Resolves when everything that was being written to it is in its queue. */
  async settle(): Promise<void> {
    await this.#lane;
  }
}

type Key = {
  readonly keyId: number;
  readonly publicKey: Uint8Array;
  readonly signature?: Uint8Array;
};

function keyNode(tag: string, { keyId, publicKey, signature }: Key): BinaryNode {
  const content: BinaryNode[] = [
    { tag: 'id', attrs: {}, content: encodeBigEndian(keyId, 3) },
    { tag: 'value', attrs: {}, content: withoutType(publicKey) },
  ];
  if (signature) content.push({ tag: 'signature', attrs: {}, content: signature });
  return { tag, attrs: {}, content };
}

/** Signal's public keys bear a byte that says which curve; stanzas have them without it. */
function withoutType(key: Uint8Array): Uint8Array {
  return key.length === 33 ? key.subarray(1) : key;
}
