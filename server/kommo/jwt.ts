import { z } from 'zod';

/** What a token of Kommo's says of itself. Read, not verified: Kommo does that, we only plan by it. */
export type TokenClaims = {
  /** Unix ms, by Kommo's clock. */
  readonly issuedAtMs: number | undefined;
  readonly expiresAtMs: number | undefined;
  /** A host that knows the account whatever it is called by now. */
  readonly apiDomain: string | undefined;
};

const NOTHING: TokenClaims = {
  issuedAtMs: undefined,
  expiresAtMs: undefined,
  apiDomain: undefined,
};

/** The end of the year 9999, which Postgres still reads as it is written here. */
const SECONDS_MAX = 253_402_300_799;
const seconds = z.number().positive().max(SECONDS_MAX).optional().catch(undefined);
const claims = z.looseObject({
  iat: seconds,
  exp: seconds,
  api_domain: z.string().toLowerCase().optional().catch(undefined),
});

/** The claims of a JSON web token (RFC 7519); of a token that is none, nothing. */
export function readClaims(token: string): TokenClaims {
  const payload = token.split('.')[1];
  if (payload === undefined) return NOTHING;
  try {
    const text = Buffer.from(payload, 'base64url').toString('utf8');
    const { iat, exp, api_domain } = claims.parse(JSON.parse(text));
    return {
      issuedAtMs: iat === undefined ? undefined : iat * 1_000,
      expiresAtMs: exp === undefined ? undefined : exp * 1_000,
      apiDomain: api_domain,
    };
  } catch {
    return NOTHING;
  }
}

const DAY_MS = 24 * 3_600_000;
/** Days ahead at which somebody is told, once for each. */
const WARN_DAYS = [1, 7, 30] as const;

/** `withinDays` 0: it has ended. */
export type TokenWarning = {
  readonly withinDays: 0 | (typeof WARN_DAYS)[number];
  readonly says: string;
};

/** For long-lived tokens: those that are renewed live for a day. Undefined: there is time. */
export function tokenWarning(expiresAtMs: number, nowMs: number): TokenWarning | undefined {
  const leftMs = expiresAtMs - nowMs;
  const on = new Date(expiresAtMs).toISOString().slice(0, 10);
  if (leftMs <= 0)
    return { withinDays: 0, says: `The long-lived token ended on ${on}. Make a new one in Kommo.` };
  const withinDays = WARN_DAYS.find((days) => leftMs <= days * DAY_MS);
  if (withinDays === undefined) return undefined;
  const says = `The long-lived token ends on ${on}, within ${withinDays === 1 ? 'a day' : `${withinDays} days`}. Make a new one in Kommo.`;
  return { withinDays, says };
}
