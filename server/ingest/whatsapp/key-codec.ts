import {
  BufferJSON,
  proto,
  type AuthenticationCreds,
  type SignalDataSet,
  type SignalDataTypeMap,
} from '@whiskeysockets/baileys';
import type { SecretBox } from '../../../platform/secret-box.ts';
import type { CachedKey } from './key-cache.ts';

/** A kind of key, as Baileys names them. */
export type KeyType = keyof SignalDataTypeMap;

/**
 * Keys and credentials as bytes, and back exactly: private keys as Buffers (libsignal takes nothing else), messages of
 * WhatsApp's own as such. A value is JSON but for one type, whose JSON would lose what its bytes are.
 */
export function encodeKey<T extends KeyType>(type: T, value: SignalDataTypeMap[T]): Buffer {
  if (type === 'app-state-sync-key')
    return Buffer.from(
      proto.Message.AppStateSyncKeyData.encode(
        value as proto.Message.IAppStateSyncKeyData,
      ).finish(),
    );
  return Buffer.from(JSON.stringify(value, BufferJSON.replacer), 'utf8');
}

/** What Baileys wants written; null stands for a key that is to go. */
export function encodeKeys(data: SignalDataSet): CachedKey[] {
  const types = Object.keys(data) as KeyType[];
  return types.flatMap((type) =>
    Object.entries(data[type] ?? {}).map(([id, value]) => ({
      type,
      id,
      value: value === null || value === undefined ? null : encodeKey(type, value),
    })),
  );
}

/** Whether a key of that id can have been written. */
export function isKeyId(id: string): boolean {
  return id.length <= ID_CHARACTERS && !id.includes('\0');
}
const ID_CHARACTERS = 256;

/** What shares nothing with any other call's: Baileys changes in place what it was given. */
export function decodeKey<T extends KeyType>(type: T, bytes: Uint8Array): SignalDataTypeMap[T] {
  const value: unknown =
    type === 'app-state-sync-key'
      ? proto.Message.AppStateSyncKeyData.decode(Uint8Array.from(bytes))
      : JSON.parse(Buffer.from(bytes).toString('utf8'), reviveBuffer);
  return value as SignalDataTypeMap[T];
}

export function encodeCreds(creds: AuthenticationCreds): string {
  return JSON.stringify(creds, BufferJSON.replacer);
}

export function decodeCreds(text: string): AuthenticationCreds {
  const creds = JSON.parse(text, reviveBuffer) as AuthenticationCreds;
  // Its bytes are base64 in JSON, which only this undoes.
  if (creds.account) creds.account = proto.ADVSignedDeviceIdentity.fromObject(creds.account);
  return creds;
}

/**
 * What BufferJSON's replacer writes, and that alone: its own reviver takes any object for bytes whose names begin with
 * digits and whose values are numbers.
 */
function reviveBuffer(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (!('type' in value) || !('data' in value)) return value;
  return value.type === 'Buffer' && typeof value.data === 'string'
    ? Buffer.from(value.data, 'base64')
    : value;
}

/** A device's keys and credentials, each for its own place. */
export type KeySealer = {
  sealKey(type: string, id: string, bytes: Uint8Array): Buffer;
  /** @throws ClarinError `configuration` when it was sealed with another key. */
  openKey(type: string, id: string, sealed: Uint8Array): Buffer;
  sealCreds(creds: AuthenticationCreds): Buffer;
  /** @throws as `openKey`. */
  openCreds(sealed: Uint8Array): AuthenticationCreds;
};

export function createKeySealer(box: SecretBox, deviceId: number): KeySealer {
  const placeOf = (type: string, id: string): string => `whatsapp_keys/${deviceId}/${type}/${id}`;
  const creds = `whatsapp_sessions/${deviceId}/creds`;
  return {
    sealKey: (type, id, bytes) => box.sealBytes(bytes, placeOf(type, id)),
    openKey: (type, id, sealed) => box.openBytes(sealed, placeOf(type, id)),
    sealCreds: (value) => box.seal(encodeCreds(value), creds),
    openCreds: (sealed) => decodeCreds(box.open(sealed, creds)),
  };
}
