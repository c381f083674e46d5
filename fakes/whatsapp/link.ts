import {
  Curve,
  generateSignalPubKey,
  hmacSign,
  initAuthCreds,
  proto,
  S_WHATSAPP_NET,
  WA_ADV_ACCOUNT_SIG_PREFIX,
  WA_ADV_DEVICE_SIG_PREFIX,
  type AuthenticationCreds,
  type BinaryNode,
  type KeyPair,
} from '@whiskeysockets/baileys';
import type { Connection } from './connection.ts';
import { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import type { Bundle } from './signal-party.ts';
import type { World } from './world.ts';
import { WorldError } from './world-error.ts';

/** As on a phone: four and the phone itself, but tests may want more. */
const DEVICES_MAX = 100;
const REMOVED_MAX = 1_000;

/** A device with its keys; logged in it is not yet. @throws WorldError when the person has too many. */
export function addDevice(
  person: Person,
  keys: { noiseKey: Uint8Array; bundle: Bundle },
): LinkedDevice {
  if (person.linked().length >= DEVICES_MAX) throw new WorldError('there are too many devices');
  const number = Math.max(0, ...person.devices.keys()) + 1;
  const device = new LinkedDevice(person, { number, ...keys });
  person.devices.set(number, device);
  const [oldest] = [...person.devices.values()].filter(({ isRemoved }) => isRemoved);
  if (person.devices.size > REMOVED_MAX && oldest) person.devices.delete(oldest.number);
  return device;
}

/** What a client says about itself when it wants to be linked. @throws WorldError when it does not. */
export function bundleOfRegistration(payload: proto.ClientPayload | undefined): Bundle {
  const data = payload?.devicePairingData;
  const { eRegid, eIdent, eSkeyId, eSkeyVal, eSkeySig } = data ?? {};
  if (!eRegid || !eIdent || !eSkeyId || !eSkeyVal || !eSkeySig) {
    throw new WorldError('nobody who wants to be linked');
  }
  return {
    registrationId: readNumber(eRegid),
    identityKey: generateSignalPubKey(eIdent),
    signedPreKey: {
      keyId: readNumber(eSkeyId),
      publicKey: generateSignalPubKey(eSkeyVal),
      signature: eSkeySig,
    },
  };
}

function readNumber(bytes: Uint8Array): number {
  return bytes.reduce((number, byte) => number * 256 + byte, 0);
}

/** The account's word that the device is its own: what the phone signs when it links one. */
function signDevice(person: Person, identity: Uint8Array): proto.IADVSignedDeviceIdentity {
  const account = person.signal.identityKey;
  const details = proto.ADVDeviceIdentity.encode({
    rawId: Number(person.phone.slice(-8)),
    timestamp: Math.floor(Date.now() / 1_000),
    keyIndex: 1,
  }).finish();
  const signed = Buffer.concat([WA_ADV_ACCOUNT_SIG_PREFIX, details, identity]);
  return {
    details,
    accountSignatureKey: account.public,
    accountSignature: Curve.sign(account.private, signed),
  };
}

/**
 * The end of every pairing. The client checks the signatures, answers with its own, and is told to come again (515), now as
 * a device; that answer is handled in queries.ts.
 */
export function tellLinked(
  world: World,
  connection: Connection,
  options: { device: LinkedDevice; identity: Uint8Array; advSecret: Uint8Array },
): void {
  const { device, identity, advSecret } = options;
  const signed = signDevice(device.owner, identity);
  const details = proto.ADVSignedDeviceIdentity.encode(signed).finish();
  const hmac = hmacSign(Buffer.from(details), Buffer.from(advSecret));
  const content: BinaryNode[] = [
    {
      tag: 'device-identity',
      attrs: {},
      content: proto.ADVSignedDeviceIdentityHMAC.encode({ details, hmac }).finish(),
    },
    { tag: 'device', attrs: { jid: device.jid, lid: device.lidJid } },
    { tag: 'platform', attrs: { name: 'android' } },
  ];
  connection.send({
    tag: 'iq',
    attrs: {
      from: S_WHATSAPP_NET,
      type: 'set',
      id: world.nextId(),
      xmlns: 'md',
      t: String(Math.floor(Date.now() / 1_000)),
    },
    content: [{ tag: 'pair-success', attrs: {}, content }],
  });
}

/**
 * A device of this person's that needs no pairing: its credentials are what Baileys would have after one. Unsigned ones take a
 * quarter of the time, and nobody here looks at the signatures: for hundreds of them.
 */
export function makeCredentials(
  person: Person,
  { isSigned = true }: { isSigned?: boolean } = {},
): { device: LinkedDevice; creds: AuthenticationCreds } {
  const creds = initAuthCreds();
  const { signedIdentityKey: identity, signedPreKey, registrationId } = creds;
  const device = addDevice(person, {
    noiseKey: creds.noiseKey.public,
    bundle: {
      registrationId,
      identityKey: generateSignalPubKey(identity.public),
      signedPreKey: {
        keyId: signedPreKey.keyId,
        publicKey: generateSignalPubKey(signedPreKey.keyPair.public),
        signature: signedPreKey.signature,
      },
    },
  });
  creds.account = isSigned ? signTwice(person, identity) : {};
  creds.me = { id: device.jid, lid: device.lidJid, name: person.name };
  creds.platform = 'android';
  creds.accountSyncCounter = 1;
  return { device, creds };
}

/** By the account, and by the device as its answer to that. */
function signTwice(person: Person, identity: KeyPair): proto.IADVSignedDeviceIdentity {
  const account = signDevice(person, identity.public);
  const { details, accountSignatureKey } = account;
  if (!details || !accountSignatureKey) throw new Error('signed without a key');
  const signed = [WA_ADV_DEVICE_SIG_PREFIX, details, identity.public, accountSignatureKey];
  return { ...account, deviceSignature: Curve.sign(identity.private, Buffer.concat(signed)) };
}
