import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';
import type { WorldSettings } from './settings.ts';

/**
 * OAuth of one account: codes are used once, refresh tokens are used once, access tokens are JWTs that this account's key
 * has signed. They are known by their signature, so that one of an earlier run with the same seed still opens the door.
 * An access token lives on when its refresh token is used: only its end or a revocation ends it.
 */
type Means = {
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: WorldSettings;
  readonly accountId: number;
  readonly userId: () => number;
  readonly clientId: string;
  /** Of this account alone. */
  readonly key: string;
};

export type TokenPair = {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresIn: number;
};

/** Why a code or a refresh token is no good, as `hint` says it. */
export type GrantRefusal = 'unknown' | 'Token has expired' | 'Token has been revoked';

const CODE_SECONDS = 20 * 60;
const LONG_LIVED_DAYS = 365;

export class Tokens {
  readonly #of: Means;
  readonly #codes = new Map<string, { expiresAt: number; isUsed: boolean }>();
  readonly #refreshTokens = new Map<string, { expiresAt: number; isUsed: boolean }>();
  readonly #revoked = new Set<string>();
  readonly #issued = new Set<string>();
  /** Those of an earlier run, too. */
  #areStrangersRevoked = false;

  constructor(means: Means) {
    this.#of = means;
  }

  /** What the browser brings to the redirect address; good for 20 minutes. */
  issueCode(): string {
    const code = `def50200${this.#of.random.hex(64)}`;
    this.#codes.set(code, { expiresAt: this.#seconds() + CODE_SECONDS, isUsed: false });
    return code;
  }

  issuePair(): TokenPair {
    const { random, settings } = this.#of;
    const refreshToken = `def50200${random.hex(96)}`;
    this.#refreshTokens.set(refreshToken, {
      expiresAt: this.#seconds() + settings.refreshTokenSeconds,
      isUsed: false,
    });
    const accessToken = this.#sign(settings.accessTokenSeconds);
    return { accessToken, refreshToken, expiresIn: settings.accessTokenSeconds };
  }

  /** Of a private integration: no refresh, an administrator's rights, one day to five years. */
  issueLongLived(days = LONG_LIVED_DAYS): string {
    return this.#sign(days * 86_400);
  }

  exchangeCode(code: string): TokenPair | GrantRefusal {
    return this.#use(this.#codes.get(code));
  }

  refresh(refreshToken: string): TokenPair | GrantRefusal {
    return this.#use(this.#refreshTokens.get(refreshToken));
  }

  /** A refresh token that could be used now. */
  isRefreshToken(refreshToken: string): boolean {
    const grant = this.#refreshTokens.get(refreshToken);
    return grant !== undefined && !grant.isUsed && grant.expiresAt > this.#seconds();
  }

  /** Whether it opens the door now. */
  accepts(accessToken: string): boolean {
    const [head = '', body = '', signature = ''] = accessToken.split('.');
    if (!isEqual(signature, this.#signatureOf(`${head}.${body}`))) return false;
    const claims = readClaims(body);
    if (claims === undefined || claims.exp <= this.#seconds()) return false;
    if (this.#revoked.has(claims.jti)) return false;
    return !this.#areStrangersRevoked || this.#issued.has(claims.jti);
  }

  /** An access token, a long-lived one, or a refresh token. */
  revoke(token: string): void {
    const grant = this.#refreshTokens.get(token);
    if (grant) grant.isUsed = true;
    const claims = readClaims(token.split('.')[1] ?? '');
    if (claims) this.#revoked.add(claims.jti);
  }

  /** Everything so far, as when the integration is removed. */
  revokeAll(): void {
    for (const jti of this.#issued) this.#revoked.add(jti);
    for (const grant of this.#refreshTokens.values()) grant.isUsed = true;
    for (const grant of this.#codes.values()) grant.isUsed = true;
    this.#areStrangersRevoked = true;
  }

  #use(grant: { expiresAt: number; isUsed: boolean } | undefined): TokenPair | GrantRefusal {
    if (grant === undefined) return 'unknown';
    if (grant.isUsed) return 'Token has been revoked';
    if (grant.expiresAt <= this.#seconds()) return 'Token has expired';
    grant.isUsed = true;
    return this.issuePair();
  }

  #sign(lifeSeconds: number): string {
    const { accountId, random, clientId, userId } = this.#of;
    const now = this.#seconds();
    const jti = random.hex(32);
    this.#issued.add(jti);
    const head = encode({ typ: 'JWT', alg: 'HS256' });
    const body = encode({
      aud: clientId,
      jti,
      iat: now,
      nbf: now,
      exp: now + lifeSeconds,
      sub: String(userId()),
      grant_type: '',
      account_id: accountId,
      base_domain: 'kommo.com',
      api_domain: 'api-a.kommo.com',
      version: 2,
      scopes: ['crm', 'notifications'],
    });
    return `${head}.${body}.${this.#signatureOf(`${head}.${body}`)}`;
  }

  #signatureOf(text: string): string {
    return createHmac('sha256', this.#of.key).update(text).digest('base64url');
  }

  #seconds(): number {
    return Math.floor(this.#of.clock.now() / 1_000);
  }
}

type Claims = { jti: string; exp: number };

function readClaims(body: string): Claims | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(body, 'base64url').toString('utf8'));
    return claims as Claims;
  } catch {
    return undefined;
  }
}

function encode(claims: object): string {
  return Buffer.from(JSON.stringify(claims)).toString('base64url');
}

function isEqual(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
