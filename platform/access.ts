import { errors, jwtVerify, SignJWT } from 'jose';
import { ClarinError } from '../domain/errors.ts';
import type { Principal } from '../domain/permission.ts';
import type { Queries } from './postgres.ts';
import { sql } from './sql.ts';

/**
 * Access tokens and what they stand for. A token only names a session; what its user may do is read from the
 * database (through the cache in the API, directly in the feed), so that a revocation works at once.
 * RFC 7519, HS256 (RFC 7518 section 3.2).
 */
export type SessionRef = {
  readonly sessionId: number;
  readonly userId: number;
  readonly accountId: number;
};

/** `expiresAt` in seconds since 1970, as in the token. */
export type AccessClaims = SessionRef & { readonly expiresAt: number };

export const ACCESS_TOKEN_SECONDS = 15 * 60;
const ISSUER = 'clarin';
const AUDIENCE = 'clarin-access';

/** A token for fifteen minutes from `nowSeconds`. `expiresAt` in seconds. */
export async function issueAccessToken(
  secret: string,
  session: SessionRef,
  nowSeconds: number,
): Promise<{ token: string; expiresAt: number }> {
  const issuedAt = Math.floor(nowSeconds);
  const expiresAt = issuedAt + ACCESS_TOKEN_SECONDS;
  const token = await new SignJWT({ sid: session.sessionId, acc: session.accountId })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(String(session.userId))
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(keyOf(secret));
  return { token, expiresAt };
}

/** @throws ClarinError `unauthenticated` for a token that is malformed, forged, of another kind or expired. */
export async function verifyAccessToken(secret: string, token: string): Promise<AccessClaims> {
  try {
    const { payload } = await jwtVerify(token, keyOf(secret), {
      algorithms: ['HS256'],
      issuer: ISSUER,
      audience: AUDIENCE,
    });
    const claims = {
      sessionId: payload['sid'],
      userId: Number(payload.sub),
      accountId: payload['acc'],
      expiresAt: payload.exp,
    };
    if (!areIds(claims)) throw new ClarinError('unauthenticated', 'the token is not one of ours');
    return claims;
  } catch (error) {
    if (error instanceof ClarinError) throw error;
    const says =
      error instanceof errors.JWTExpired ? 'the token has expired' : 'the token is not valid';
    throw new ClarinError('unauthenticated', says, { cause: error });
  }
}

function areIds(claims: Record<keyof AccessClaims, unknown>): claims is AccessClaims {
  return Object.values(claims).every((value) => Number.isSafeInteger(value) && Number(value) > 0);
}

function keyOf(secret: string): Uint8Array {
  return new TextEncoder().encode(secret);
}

/**
 * Who the session is, in one statement; undefined unless session, user and account are live and the user is a
 * member of the account or a super admin.
 */
export async function loadPrincipal(
  db: Queries,
  session: SessionRef,
  signal?: AbortSignal,
): Promise<Principal | undefined> {
  const rows = await db.query(
    sql`
      select member.role_id, person.is_super_admin and session.api_key_id is null as is_super_admin,
        to_json(role.permissions) as permissions, to_json(session.permissions) as key_permissions,
        to_json(role.device_ids) as device_ids
      from public.sessions as session
      join public.users as person on person.id = session.user_id and person.is_active
      join public.accounts as account on account.id = session.account_id and account.is_active
      left join public.memberships as member
        on member.account_id = session.account_id and member.user_id = session.user_id
      left join public.roles as role on role.account_id = member.account_id and role.id = member.role_id
      where session.account_id = ${session.accountId}
        and session.id = ${session.sessionId}
        and session.user_id = ${session.userId}
        and session.revoked_at is null
        and session.expires_at > now()
        and (person.is_super_admin and session.api_key_id is null or member.id is not null)`,
    { signal },
  );
  const row = rows[0];
  if (!row) return undefined;
  const isSuperAdmin = row['is_super_admin'] === 't';
  return {
    sessionId: session.sessionId,
    userId: session.userId,
    accountId: session.accountId,
    roleId: row['role_id'] ? Number(row['role_id']) : null,
    isSuperAdmin,
    permissions: narrow(
      parseList<string>(row['permissions']) ?? [],
      parseList(row['key_permissions']),
    ),
    deviceIds: isSuperAdmin ? null : (parseList<number>(row['device_ids']) ?? null),
  };
}

function parseList<T>(json: string | null | undefined): T[] | undefined {
  return json ? (JSON.parse(json) as T[]) : undefined;
}

/** A key's permissions are at most its member's: what both include, `*` standing for all. */
function narrow(role: readonly string[], key: readonly string[] | undefined): readonly string[] {
  if (key === undefined || key.includes('*')) return role;
  return role.includes('*') ? key : key.filter((permission) => role.includes(permission));
}
