import { hash, verify } from '@node-rs/argon2';

/**
 * Passwords as argon2id digests with the library's defaults (19 MiB, 2 passes: OWASP's first choice), computed off the main
 * thread. RFC 9106.
 */
export const PASSWORD_CHARACTERS_MIN = 8;
/** Beyond this nobody types; a bound on what one request may make us hash. */
export const PASSWORD_CHARACTERS_MAX = 256;

export function hashPassword(password: string): Promise<string> {
  return hash(password);
}

let decoy: Promise<string> | undefined;

/**
 * Whether the password is the one. Without a digest (there is no such user) it works as long as with one, so that
 * the time of an answer does not say who exists.
 */
export async function verifyPassword(
  digest: string | undefined,
  password: string,
): Promise<boolean> {
  decoy ??= hash('nobody has this password');
  const isRight = await verify(digest ?? (await decoy), password).catch(() => false);
  return digest !== undefined && isRight;
}
