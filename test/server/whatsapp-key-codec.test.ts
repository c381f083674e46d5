import { randomBytes } from 'node:crypto';
import {
  addTransactionCapability,
  BufferJSON,
  Curve,
  DEFAULT_CONNECTION_CONFIG,
  generateSignalPubKey,
  initAuthCreds,
  newLTHashState,
  proto,
  signedKeyPair,
  type SignalDataSet,
  type SignalDataTypeMap,
} from '@whiskeysockets/baileys';
import { describe, expect, test } from 'vitest';
import { quietLibsignal, silent } from '../../fakes/whatsapp/quiet.ts';
import { SignalParty } from '../../fakes/whatsapp/signal-party.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import {
  createKeySealer,
  decodeCreds,
  decodeKey,
  encodeCreds,
  encodeKey,
  encodeKeys,
  type KeyType,
} from '../../server/ingest/whatsapp/key-codec.ts';

quietLibsignal();

const ANA = '99887766554433@lid';
const US = '111222333444555:5@lid';
const GROUP = '120363000000000001@g.us';

/** What Baileys itself gives to its key store while somebody writes to a device and to a group with it. */
async function valuesOfBaileys(): Promise<SignalDataSet> {
  const values: { [type: string]: Record<string, unknown> } = {};
  const store = {
    get: (type: string, ids: string[]) =>
      Object.fromEntries(ids.flatMap((id) => (values[type]?.[id] ? [[id, values[type][id]]] : []))),
    set: (data: SignalDataSet) => {
      for (const [type, ofType] of Object.entries(data))
        values[type] = { ...values[type], ...ofType };
    },
  };
  const creds = initAuthCreds();
  const keys = addTransactionCapability(
    store as Parameters<typeof addTransactionCapability>[0],
    silent,
    { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
  );
  const repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository({ creds, keys }, silent);
  const party = new SignalParty();
  const bundle = {
    registrationId: creds.registrationId,
    identityKey: generateSignalPubKey(creds.signedIdentityKey.public),
    signedPreKey: {
      keyId: creds.signedPreKey.keyId,
      publicKey: generateSignalPubKey(creds.signedPreKey.keyPair.public),
      signature: creds.signedPreKey.signature,
    },
  };
  const group = await party.encryptForGroup(GROUP, ANA, { conversation: 'to all' });
  const encrypted = await party.encrypt(US, () => bundle, group.distribution);
  await repository.decryptMessage({ jid: ANA, ...encrypted });
  await repository.encryptMessage({ jid: ANA, data: Buffer.from('an answer') });
  const item = group.distribution.senderKeyDistributionMessage;
  if (!item) throw new Error('no sender key');
  await repository.processSenderKeyDistributionMessage({ authorJid: ANA, item });
  await repository.decryptGroupMessage({ group: GROUP, authorJid: ANA, msg: group.ciphertext });
  await repository.lidMapping.storeLIDPNMappings([{ lid: ANA, pn: '51987654321@s.whatsapp.net' }]);
  repository.close?.();
  party.close();
  return values as SignalDataSet;
}

/** One of each type; that no type is left out, the compiler sees. */
async function oneOfEach(): Promise<SignalDataTypeMap> {
  const values = await valuesOfBaileys();
  const first = <T extends KeyType>(type: T): SignalDataTypeMap[T] => {
    const [value] = Object.values(values[type] ?? {});
    if (value === undefined || value === null) throw new Error(`Baileys made no ${type}`);
    return value as SignalDataTypeMap[T];
  };
  return {
    'pre-key': Curve.generateKeyPair(),
    session: first('session'),
    'sender-key': first('sender-key'),
    'identity-key': first('identity-key'),
    'lid-mapping': first('lid-mapping'),
    'sender-key-memory': { '51987654321:3@s.whatsapp.net': true, '7@lid': false },
    'app-state-sync-key': proto.Message.AppStateSyncKeyData.create({
      keyData: randomBytes(32),
      fingerprint: { rawId: 7, currentIndex: 1, deviceIndexes: [0, 1] },
      timestamp: 1_790_000_000,
    }),
    'app-state-sync-version': {
      ...newLTHashState(),
      version: 12,
      hash: randomBytes(128),
      indexValueMap: { 'q2+/': { valueMac: randomBytes(32) } },
    },
    'device-list': ['0', '12'],
    tctoken: { token: randomBytes(16), timestamp: '1790000000', senderTimestamp: 1_790_000_001 },
  };
}

/** What they say: bytes of any class, and protobuf's own objects as theirs. */
const said = (value: unknown): string => JSON.stringify(value, BufferJSON.replacer);

describe('a key', () => {
  test('of each type comes back as Baileys gave it', async () => {
    for (const [type, value] of Object.entries(await oneOfEach()) as [KeyType, never][]) {
      const back = decodeKey(type, encodeKey(type, value));
      expect(said(back), type).toBe(said(value));
    }
  });

  test('that libsignal takes is a Buffer, and the key of the app state a message of its own', async () => {
    const values = await oneOfEach();
    const pair = decodeKey('pre-key', encodeKey('pre-key', values['pre-key']));
    expect(Buffer.isBuffer(pair.private) && Buffer.isBuffer(pair.public)).toBe(true);
    for (const type of ['identity-key', 'sender-key'] as const)
      expect(Buffer.isBuffer(decodeKey(type, encodeKey(type, values[type])))).toBe(true);
    const given = values['app-state-sync-key'];
    const back = decodeKey('app-state-sync-key', encodeKey('app-state-sync-key', given));
    expect(back).toBeInstanceOf(proto.Message.AppStateSyncKeyData);
    expect(Buffer.from(back.keyData ?? [])).toEqual(Buffer.from(given.keyData ?? []));
    // From another one of Baileys' own sources, as an object: the same.
    const asObject = proto.Message.AppStateSyncKeyData.toObject(back as never);
    const again = encodeKey('app-state-sync-key', asObject);
    expect(again).toEqual(encodeKey('app-state-sync-key', given));
  });

  test('with names of digits and numbers is no Buffer', () => {
    const value = { 1: 2, '3@lid': 4 } as unknown as SignalDataTypeMap['sender-key-memory'];
    expect(decodeKey('sender-key-memory', encodeKey('sender-key-memory', value))).toEqual(value);
  });

  test('that is to go is null, and what has no type is nothing', () => {
    const keys = encodeKeys({ session: { a: null }, 'lid-mapping': { b: 'c' } });
    expect(keys).toEqual([
      { type: 'session', id: 'a', value: null },
      { type: 'lid-mapping', id: 'b', value: Buffer.from('"c"') },
    ]);
    expect(encodeKeys({})).toEqual([]);
  });

  test('[A11] is opened in its own place alone', () => {
    const box = createSecretBox(randomBytes(32));
    const [one, other] = [createKeySealer(box, 1), createKeySealer(box, 2)];
    const sealed = one.sealKey('session', 'ana', Buffer.from('secret'));
    expect(one.openKey('session', 'ana', sealed).toString()).toBe('secret');
    for (const open of [
      () => other.openKey('session', 'ana', sealed),
      () => one.openKey('session', 'berta', sealed),
      () => one.openKey('pre-key', 'ana', sealed),
      () => one.openCreds(sealed),
    ])
      expect(open).toThrow(expect.objectContaining({ code: 'configuration' }) as Error);
  });
});

describe('credentials', () => {
  test('come back as they were, as a new device has them and as a paired one', () => {
    const fresh = initAuthCreds();
    expect(decodeCreds(encodeCreds(fresh))).toEqual(withoutUndefined(fresh));
    const account = proto.ADVSignedDeviceIdentity.create({
      details: randomBytes(40),
      accountSignatureKey: randomBytes(32),
      accountSignature: randomBytes(64),
      deviceSignature: randomBytes(64),
    });
    const paired = {
      ...fresh,
      me: { id: '5215551234567:5@s.whatsapp.net', lid: US, name: 'Clarin' },
      account,
      signedPreKey: signedKeyPair(fresh.signedIdentityKey, 2),
      routingInfo: randomBytes(20),
      registered: true,
      additionalData: { 1: 2 },
      processedHistoryMessages: [{ key: { id: 'A', fromMe: true }, messageTimestamp: 1 }],
    };
    const { account: accountBack, ...back } = decodeCreds(encodeCreds(paired));
    const { account: _, ...given } = paired;
    expect(back).toEqual(withoutUndefined(given));
    const bytes = proto.ADVSignedDeviceIdentity.encode(account).finish();
    expect(proto.ADVSignedDeviceIdentity.encode(accountBack ?? {}).finish()).toEqual(bytes);
    expect(accountBack?.accountSignatureKey).toEqual(account.accountSignatureKey);
    for (const key of [back.noiseKey, back.signedIdentityKey, back.signedPreKey.keyPair])
      expect(Buffer.isBuffer(key.private)).toBe(true);
  });
});

function withoutUndefined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined));
}
