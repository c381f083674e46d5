import { ClarinError } from '../../../domain/errors.ts';
import { verifyBearer, type AccessClaims } from '../../../platform/access.ts';
import { isApiKey } from '../../../platform/api-key.ts';
import type { Context } from '../context.ts';

type Verify = (bearer: string) => Promise<AccessClaims | null>;
type Remembered = { readonly claims: AccessClaims; readonly untilMs: number };

/** Verified ones are remembered: checking a signature anew costs more than everything else of a cached read. */
const REMEMBERED_MAX = 10_000;
/** A key is looked up once an hour, which notes that it is in use. */
const REMEMBERED_MS_MAX = 3_600_000;
/** Keys looked up at once: guesses must not take all connections from those who are known. */
const LOOKUPS_MAX = 4;

/**
 * Whom tokens and keys name. Whether their session is still good is not asked here: a revoked key goes on naming it.
 * Answers null for what is no good: the route may be public, and the limit counts it by address.
 * @throws ClarinError `rate_limited` while too many keys are being looked up.
 */
export function rememberingVerifier({ config, database, now }: Context): Verify {
  const known = new Map<string, Remembered>();
  let lookups = 0;

  const check = async (bearer: string): Promise<AccessClaims> => {
    const source = { db: database, secret: config.secret };
    if (!isApiKey(bearer)) return verifyBearer(source, bearer);
    if (lookups >= LOOKUPS_MAX) throw new ClarinError('rate_limited', 'too many keys at once');
    lookups++;
    try {
      return await verifyBearer(source, bearer);
    } finally {
      lookups--;
    }
  };

  return async (bearer) => {
    const remembered = known.get(bearer);
    if (remembered && remembered.untilMs > now()) return remembered.claims;
    known.delete(bearer);
    try {
      const claims = await check(bearer);
      if (known.size >= REMEMBERED_MAX) known.delete(known.keys().next().value ?? '');
      const untilMs = Math.min(claims.expiresAt * 1_000, now() + REMEMBERED_MS_MAX);
      known.set(bearer, { claims, untilMs });
      return claims;
    } catch (error) {
      if (error instanceof ClarinError && error.code === 'unauthenticated') return null;
      throw error;
    }
  };
}
