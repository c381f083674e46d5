import {
  aesDecryptGCM,
  aesEncryptGCM,
  Curve,
  hkdf,
  NOISE_MODE,
  NOISE_WA_HEADER,
  proto,
  sha256,
  WA_CERT_DETAILS,
  type KeyPair,
} from '@whiskeysockets/baileys';

/**
 * The server's side of WhatsApp's Noise_XX_25519_AESGCM_SHA256: the client says hello with an ephemeral key, the server
 * answers with its own, its static key and its certificates, the client finishes with its static key and a payload that
 * says who it is. From then on every frame is AES-GCM with one counter for each direction. A frame is three bytes of
 * length, big endian, and so many bytes; before its first one a client sends an intro (`WA`, two bytes of version), and
 * before that, when it has been told a route, `ED`, 0, 1, three bytes of length and the route.
 */
const EMPTY = Buffer.alloc(0);
const LENGTH_BYTES = 3;
const ROUTE_HEAD_BYTES = 7;
const CERTIFICATE_SECONDS = 86_400;

/** What a client said at the end of the handshake. */
export type Finished = {
  readonly payload: proto.ClientPayload;
  /** The client's static key: a device keeps it for as long as it is linked. */
  readonly clientKey: Buffer;
};

export class NoiseServer {
  #hash: Buffer;
  #salt: Buffer;
  #key: Buffer;
  #counter = 0;
  readonly #ephemeral = Curve.generateKeyPair();
  #transport: { readonly read: Buffer; readonly write: Buffer } | undefined;
  #readCount = 0;
  #writeCount = 0;
  #received = EMPTY;
  #hasIntro = false;

  constructor() {
    const mode = Buffer.from(NOISE_MODE);
    this.#hash = mode.length === 32 ? mode : sha256(mode);
    this.#salt = this.#hash;
    this.#key = this.#hash;
    this.#mixHash(NOISE_WA_HEADER);
  }

  /** The frames that are complete by now, oldest first, still as they were sent. */
  take(bytes: Buffer): Buffer[] {
    this.#received = Buffer.concat([this.#received, bytes]);
    if (!this.#hasIntro && !this.#takeIntro()) return [];
    const frames: Buffer[] = [];
    for (;;) {
      if (this.#received.length < LENGTH_BYTES) return frames;
      const length = this.#received.readUIntBE(0, LENGTH_BYTES);
      if (this.#received.length < LENGTH_BYTES + length) return frames;
      frames.push(this.#received.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      this.#received = this.#received.subarray(LENGTH_BYTES + length);
    }
  }

  #takeIntro(): boolean {
    let at = 0;
    if (this.#received.subarray(0, 2).toString('latin1') === 'ED') {
      if (this.#received.length < ROUTE_HEAD_BYTES) return false;
      at = ROUTE_HEAD_BYTES + this.#received.readUIntBE(4, LENGTH_BYTES);
    }
    if (this.#received.length < at + NOISE_WA_HEADER.length) return false;
    this.#received = this.#received.subarray(at + NOISE_WA_HEADER.length);
    this.#hasIntro = true;
    return true;
  }

  /** Of the client's first frame, the server's. @throws Error when it is none. */
  greet(frame: Buffer, root: KeyPair): Buffer {
    const theirs = proto.HandshakeMessage.decode(frame).clientHello?.ephemeral;
    if (!theirs) throw new Error('no client hello');
    const ownStatic = Curve.generateKeyPair();
    this.#mixHash(theirs);
    this.#mixHash(this.#ephemeral.public);
    this.#mixKey(Curve.sharedKey(this.#ephemeral.private, theirs));
    const key = this.#encrypt(ownStatic.public);
    this.#mixKey(Curve.sharedKey(ownStatic.private, theirs));
    const payload = this.#encrypt(certify(root, ownStatic.public));
    const serverHello = { ephemeral: this.#ephemeral.public, static: key, payload };
    return frameOf(proto.HandshakeMessage.encode({ serverHello }).finish());
  }

  /** Of the client's second frame. @throws Error when it is none, or encrypted otherwise. */
  finish(frame: Buffer): Finished {
    const { clientFinish } = proto.HandshakeMessage.decode(frame);
    if (!clientFinish?.static || !clientFinish.payload) throw new Error('no client finish');
    const clientKey = this.#decrypt(clientFinish.static);
    this.#mixKey(Curve.sharedKey(this.#ephemeral.private, clientKey));
    const payload = proto.ClientPayload.decode(this.#decrypt(clientFinish.payload));
    const [read, write] = this.#derive(EMPTY);
    this.#transport = { read, write };
    return { payload, clientKey };
  }

  /** @throws Error before the handshake is finished. */
  open(frame: Buffer): Buffer {
    if (!this.#transport) throw new Error('no handshake yet');
    return aesDecryptGCM(frame, this.#transport.read, nonce(this.#readCount++), EMPTY);
  }

  seal(bytes: Uint8Array): Buffer {
    if (!this.#transport) throw new Error('no handshake yet');
    return frameOf(aesEncryptGCM(bytes, this.#transport.write, nonce(this.#writeCount++), EMPTY));
  }

  #mixHash(bytes: Uint8Array): void {
    this.#hash = sha256(Buffer.concat([this.#hash, bytes]));
  }

  #derive(bytes: Uint8Array): [Buffer, Buffer] {
    const derived = Buffer.from(hkdf(Buffer.from(bytes), 64, { salt: this.#salt, info: '' }));
    return [derived.subarray(0, 32), derived.subarray(32)];
  }

  #mixKey(bytes: Uint8Array): void {
    [this.#salt, this.#key] = this.#derive(bytes);
    this.#counter = 0;
  }

  #encrypt(plain: Uint8Array): Buffer {
    const cipher = aesEncryptGCM(plain, this.#key, nonce(this.#counter++), this.#hash);
    this.#mixHash(cipher);
    return cipher;
  }

  #decrypt(cipher: Uint8Array): Buffer {
    const plain = aesDecryptGCM(cipher, this.#key, nonce(this.#counter++), this.#hash);
    this.#mixHash(cipher);
    return plain;
  }
}

function nonce(count: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(count, 8);
  return bytes;
}

function frameOf(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(LENGTH_BYTES);
  head.writeUIntBE(bytes.length, 0, LENGTH_BYTES);
  return Buffer.concat([head, bytes]);
}

/**
 * A chain as WhatsApp's: root, intermediate, leaf for the server's static key. It is a real one, of our own root. A client
 * that compares the root with WhatsApp's refuses it; Baileys 7.0.0-rc14 does not (its `Curve.verify` never says no).
 */
function certify(root: KeyPair, key: Uint8Array): Uint8Array {
  const now = Math.floor(Date.now() / 1_000);
  const validity = { notBefore: now - 60, notAfter: now + CERTIFICATE_SECONDS };
  const { Details } = proto.CertChain.NoiseCertificate;
  const between = Curve.generateKeyPair();
  const intermediate = Details.encode({
    serial: 1,
    issuerSerial: WA_CERT_DETAILS.SERIAL,
    key: between.public,
    ...validity,
  }).finish();
  const leaf = Details.encode({ serial: 2, issuerSerial: 1, key, ...validity }).finish();
  return proto.CertChain.encode({
    intermediate: { details: intermediate, signature: Curve.sign(root.private, intermediate) },
    leaf: { details: leaf, signature: Curve.sign(between.private, leaf) },
  }).finish();
}
