import { errors, jwtVerify, SignJWT } from 'jose';
import { ClarinError } from '../domain/errors.ts';
import type { Principal } from '../domain/permission.ts';
import { digestOfApiKey, isApiKey } from './api-key.ts';
import type { Queries, TextRow } from './postgres.ts';
import { prepared, sql, type Sql } from './sql.ts';

/**
 * Access tokens and keys, and what they stand for. Either only names a session; what its user may do is read from the
 * database (through the cache in the API, directly in the feed), so that a revocation works at once.
 * RFC 7519, HS256 (RFC 7518 section 3.2).
 */
export type SessionRef = {
  readonly sessionId: number;
  readonly userId: number;
  readonly accountId: number;
};

/** `expiresAt` in seconds since 1970, as in the token; of a key, which says nothing of it, infinity. */
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

/**
 * What a caller shows: a token of ours, or a program's key. The API and the feed take either.
 * @throws ClarinError `unauthenticated` for what is none, also for keys that nobody has; `unavailable`, `timeout`.
 */
export async function verifyBearer(
  { db, secret }: { db: Queries; secret: string },
  bearer: string,
): Promise<AccessClaims> {
  if (!isApiKey(bearer)) return verifyAccessToken(secret, bearer);
  // A function of the owner's, which notes once an hour that the key is in use: no process needs to read digests.
  const [row] = await db.query(sql`
    select session_id, user_id, account_id
    from clarin.use_api_key(decode(${digestOfApiKey(bearer)}, 'hex'))`);
  if (!row) throw new ClarinError('unauthenticated', 'there is no such key');
  return {
    sessionId: Number(row['session_id']),
    userId: Number(row['user_id']),
    accountId: Number(row['account_id']),
    expiresAt: Infinity,
  };
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
  const [row] = await db.query(principalStatement(session, sql`session.expires_at > now()`), {
    signal,
  });
  return row && principalOfRow(session, row);
}

/** The same for who keeps the answer and looks at `expiresAt` whenever it is used: it does not depend on the time. */
export async function loadPrincipalToKeep(
  db: Queries,
  session: SessionRef,
): Promise<Principal | undefined> {
  const [row] = await db.query(principalStatement(session, sql`true`));
  return row && principalOfRow(session, row);
}

function principalStatement(session: SessionRef, isInTime: Sql): Sql {
  return prepared(sql`
      select member.role_id, person.is_super_admin and session.api_key_id is null as is_super_admin,
        to_json(role.permissions) as permissions, to_json(session.permissions) as key_permissions,
        to_json(role.device_ids) as device_ids, session.api_key_id,
        extract(epoch from least(session.expires_at, '9999-01-01'::timestamptz)) as expires_at
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
        and ${isInTime}
        and (person.is_super_admin and session.api_key_id is null or member.id is not null)`);
}

function principalOfRow(session: SessionRef, row: TextRow): Principal {
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
    apiKeyId: row['api_key_id'] ? Number(row['api_key_id']) : null,
    expiresAt: Number(row['expires_at']),
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
