import { createHash, randomBytes } from 'node:crypto';

/**
 * Keys of programs: `clarin_<10 hex digits>_<43 characters>`, the latter 256 random bits. A search through logs or
 * repositories finds them by their beginning, people tell them apart by the digits, and nothing but the SHA-256 of the
 * whole is kept: a secret that nobody could have chosen needs no slow hash.
 */
const FORM = /^clarin_[0-9a-f]{10}_[A-Za-z0-9_-]{43}$/;

export type NewApiKey = {
  /** For its owner, once. */
  readonly key: string;
  /** Its first characters, which may be shown. */
  readonly prefix: string;
  /** In hex. */
  readonly digest: string;
};

export function makeApiKey(): NewApiKey {
  const prefix = `clarin_${randomBytes(5).toString('hex')}`;
  const key = `${prefix}_${randomBytes(32).toString('base64url')}`;
  return { key, prefix, digest: digestOfApiKey(key) };
}

/** Whether it has the form of a key: only then is it looked for. */
export function isApiKey(text: string): boolean {
  return FORM.test(text);
}

/** SHA-256 in hex. */
export function digestOfApiKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
