import { createDecipheriv, createCipheriv, randomBytes } from 'node:crypto';
import {
  aesDecryptGCM,
  Curve,
  derivePairingCodeKey,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  hkdf,
  S_WHATSAPP_NET,
  type BinaryNode,
} from '@whiskeysockets/baileys';
import { userOf } from './addresses.ts';
import type { Connection } from './connection.ts';
import { addDevice, bundleOfRegistration, tellLinked } from './link.ts';
import { dropCodes } from './pairing.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';
import { mustFind, WorldError } from './world-error.ts';

/**
 * Linking with a code of eight characters instead of a picture. The client says for which number it has one, with an ephemeral
 * key that the code encrypts (`companion_hello`). When the code is typed on that phone, the phone answers with its own
 * ephemeral key, encrypted the same way, and its identity (`primary_hello`). From both the client derives the secret of the
 * account's signature, and says so with a bundle that only the phone can open (`companion_finish`). The rest is as with QR.
 */
export type CodeRequest = {
  readonly connection: Connection;
  readonly reference: Buffer;
  /** salt 32, iv 16, key 32 encrypted. */
  readonly wrapped: Buffer;
  phoneKeys: { readonly private: Uint8Array; readonly public: Uint8Array } | undefined;
  companionKey: Buffer | undefined;
};

const SALT_BYTES = 32;
const IV_BYTES = 16;

/** `<link_code_companion_reg>` of a client; what is to be answered. */
export function receiveCodeStage(
  world: World,
  connection: Connection,
  stanza: BinaryNode,
): { content?: BinaryNode[]; afterwards?: () => void } {
  const phone = userOf(stanza.attrs['jid'] ?? '') ?? '';
  if (stanza.attrs['stage'] === 'companion_hello') {
    const wrapped = getBinaryNodeChildBuffer(
      stanza,
      'link_code_pairing_wrapped_companion_ephemeral_pub',
    );
    if (!wrapped) return {};
    const reference = randomBytes(16);
    world.codeRequests.set(phone, {
      connection,
      reference,
      wrapped: Buffer.from(wrapped),
      phoneKeys: undefined,
      companionKey: undefined,
    });
    const content = [{ tag: 'link_code_pairing_ref', attrs: {}, content: reference }];
    const attrs = { stage: 'companion_hello' };
    return { content: [{ tag: 'link_code_companion_reg', attrs, content }] };
  }
  return { afterwards: () => finish(world, phone, stanza) };
}

/**
 * The code is typed on the phone. A wrong one is found out by the client's answer only: then nothing is linked, and
 * `world.errors()` says so.
 * @throws WorldError when no client has asked for this phone.
 */
export async function typeCode(world: World, person: Person, code: string): Promise<void> {
  const request = mustFind(world.codeRequests.get(person.phone), `client for ${person.phone}`);
  if (!request.connection.isOpen) throw new WorldError('the client has gone');
  const typed = code.replaceAll('-', '').toUpperCase();
  const { wrapped } = request;
  const salt = wrapped.subarray(0, SALT_BYTES);
  const iv = wrapped.subarray(SALT_BYTES, SALT_BYTES + IV_BYTES);
  const theirs = createDecipheriv('aes-256-ctr', await derivePairingCodeKey(typed, salt), iv);
  request.companionKey = theirs.update(wrapped.subarray(SALT_BYTES + IV_BYTES));
  request.phoneKeys = Curve.generateKeyPair();
  const ownSalt = randomBytes(SALT_BYTES);
  const ownIv = randomBytes(IV_BYTES);
  const ours = createCipheriv('aes-256-ctr', await derivePairingCodeKey(typed, ownSalt), ownIv);
  const key = ours.update(request.phoneKeys.public);
  const content: BinaryNode[] = [
    {
      tag: 'link_code_pairing_wrapped_primary_ephemeral_pub',
      attrs: {},
      content: Buffer.concat([ownSalt, ownIv, key]),
    },
    { tag: 'primary_identity_pub', attrs: {}, content: person.signal.identityKey.public },
    { tag: 'link_code_pairing_ref', attrs: {}, content: request.reference },
  ];
  const attrs = { from: S_WHATSAPP_NET, id: world.nextId(), type: 'link_code_companion_reg' };
  const stage = { tag: 'link_code_companion_reg', attrs: { stage: 'primary_hello' }, content };
  request.connection.send({ tag: 'notification', attrs, content: [stage] });
}

function finish(world: World, phone: string, stanza: BinaryNode): void {
  const request = world.codeRequests.get(phone);
  const { phoneKeys, companionKey, connection } = request ?? {};
  const bundle = getBinaryNodeChildBuffer(stanza, 'link_code_pairing_wrapped_key_bundle');
  if (!phoneKeys || !companionKey || !connection?.clientKey || !bundle) return;
  const person = world.person(phone);
  const wrapped = Buffer.from(bundle);
  const shared = Curve.sharedKey(phoneKeys.private, companionKey);
  const key = hkdf(shared, 32, {
    salt: wrapped.subarray(0, SALT_BYTES),
    info: 'link_code_pairing_key_bundle_encryption_key',
  });
  const iv = wrapped.subarray(SALT_BYTES, SALT_BYTES + 12);
  const cipher = wrapped.subarray(SALT_BYTES + 12);
  let plain: Buffer;
  try {
    plain = aesDecryptGCM(cipher, Buffer.from(key), iv, Buffer.alloc(0));
  } catch (error) {
    world.noteError(new WorldError(`a wrong code was typed on ${phone}`, { cause: error }));
    return;
  }
  const identity = plain.subarray(0, 32);
  const random = plain.subarray(64, 96);
  const ofIdentities = Curve.sharedKey(person.signal.identityKey.private, identity);
  const secret = hkdf(Buffer.concat([shared, ofIdentities, random]), 32, { info: 'adv_secret' });
  world.codeRequests.delete(phone);
  dropCodes(world, connection);
  const device = addDevice(person, {
    noiseKey: connection.clientKey,
    bundle: bundleOfRegistration(connection.payload),
  });
  tellLinked(world, connection, { device, identity, advSecret: secret });
}

/** True for `<link_code_companion_reg>`. */
export function isCodeStage(query: BinaryNode): BinaryNode | undefined {
  return getBinaryNodeChild(query, 'link_code_companion_reg');
}
