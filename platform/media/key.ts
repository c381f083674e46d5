import { randomUUID } from 'node:crypto';
import { ClarinError } from '../../domain/errors.ts';

/** No dot, one slash, nothing that a file system or a URL could read as something else. */
const KEY = /^[1-9]\d{0,15}\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * A new key, `<account id>/<uuid>`. It is written once: nothing a caller chose is in it, and the account stands
 * first so that a person can find, count and remove what belongs to it.
 */
export function createMediaKey(accountId: number, uuid: string = randomUUID()): string {
  const key = `${accountId}/${uuid}`;
  assertMediaKey(key);
  return key;
}

/** Whether `createMediaKey` would make it. */
export function isMediaKey(key: string): boolean {
  return KEY.test(key);
}

/** @throws ClarinError `internal` for what `createMediaKey` would not make: keys come from nobody but us. */
export function assertMediaKey(key: string): void {
  if (!isMediaKey(key)) throw new ClarinError('internal', 'this is not a key of the media store');
}
