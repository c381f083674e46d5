import cookie from '@fastify/cookie';
import { PRINCIPALS } from '../../../domain/cache-key.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { may, type Principal } from '../../../domain/permission.ts';
import { loadPrincipal, type AccessClaims } from '../../../platform/access.ts';
import type { Queries } from '../../../platform/postgres.ts';
import type { Access, App, Context, Request } from '../context.ts';
import { ABSENT, loadPrincipalJson } from '../rest/loaders.ts';
import { readMinCommit } from '../rest/request-headers.ts';
import { rememberingVerifier } from './bearers.ts';

export const TOKEN_COOKIE = 'clarin_token';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Who calls, in three steps that end before a body is read: the token's signature or the key's digest (so that limits
 * count per session), then the session itself, then the permission. Reads find the session by the cache, which the write-ahead
 * log keeps true a moment later; a write is judged by Postgres, so that who was shut out changes nothing any more.
 */
export async function registerAuth(app: App, context: Context): Promise<void> {
  await app.register(cookie);
  const verify = rememberingVerifier(context);
  app.decorateRequest('claims', null);
  app.decorateRequest('principal', null);
  app.decorateRequest('isCookieAuthenticated', false);

  app.addHook('onRoute', (route) => {
    if (route.config?.access === undefined && !route.url.startsWith('/docs')) {
      throw new Error(`route ${String(route.method)} ${route.url} does not say who may call it`);
    }
  });
  app.addHook('onRequest', async (request) => {
    const bearer = readBearer(request);
    const token = bearer ?? request.cookies[TOKEN_COOKIE];
    if (token === undefined || token === '') return;
    request.isCookieAuthenticated = bearer === undefined;
    request.claims = await verify(token);
  });
  // After the rate limit, which hangs on the routes' own onRequest.
  app.addHook('preParsing', async (request) => {
    const access = request.routeOptions.config.access ?? 'public';
    if (access === 'public') return;
    if (request.isCookieAuthenticated) assertSameOrigin(request, context.config.allowedOrigins);
    const principal =
      request.claims === null ? undefined : await readPrincipal(context, request, request.claims);
    admit(request, principal);
  });
}

/**
 * A file may take minutes to come in or to leave, and its caller may be shut out meanwhile: asked again by the transaction
 * that writes its row, or before more of it is read. @throws ClarinError unauthenticated, forbidden.
 */
export async function admitAgain(db: Queries, request: Request): Promise<void> {
  const { claims } = request;
  admit(request, claims === null ? undefined : await loadPrincipal(db, claims));
}

function admit(request: Request, principal: Principal | undefined): void {
  const access = request.routeOptions.config.access ?? 'public';
  if (!principal)
    throw new ClarinError('unauthenticated', 'there is no valid token, or its session is over');
  request.principal = principal;
  assertAccess(access, principal);
  assertPerson(request, access, principal);
}

/** The one place where a permission is asked for. @throws ClarinError `forbidden`. */
export function assertAccess(access: Access, principal: Principal): void {
  if (access === 'public' || access === 'member') return;
  if (access === 'super_admin') {
    if (!principal.isSuperAdmin)
      throw new ClarinError('forbidden', 'this is for super administrators');
    return;
  }
  if (may(principal, access.permission)) return;
  throw new ClarinError(
    'forbidden',
    `your role does not include the permission "${access.permission}"`,
    {
      details: { permission: access.permission },
    },
  );
}

/**
 * Keys, users and roles are managed by people, who can be asked for a password: a key that leaked must not be able to
 * make what outlives its revocation. @throws ClarinError `forbidden`.
 */
function assertPerson(request: Request, access: Access, principal: Principal): void {
  if (principal.apiKeyId === null) return;
  const isOfUsers = typeof access === 'object' && access.permission === 'users';
  const { onlyPeople } = request.routeOptions.config;
  if (onlyPeople !== true && (!isOfUsers || SAFE_METHODS.has(request.method))) return;
  throw new ClarinError('forbidden', 'this is not for API keys: log in as a user');
}

async function readPrincipal(
  context: Context,
  request: Request,
  claims: AccessClaims,
): Promise<Principal | undefined> {
  if (!SAFE_METHODS.has(request.method))
    return loadPrincipal(context.database, claims, request.cancel);
  const { body } = await context.cache.readThrough({
    accountId: claims.accountId,
    family: PRINCIPALS,
    field: String(claims.sessionId),
    // Who has seen a commit that changes what they may do is judged by it.
    minCommit: readMinCommit(request),
    // Not the request's signal: others may share this query.
    load: async () => (await loadPrincipalJson(context.database, claims)) ?? ABSENT,
  });
  const principal = JSON.parse(body.toString()) as Principal | null;
  // An entry is found by its session alone; a token that names another user with it was never ours.
  if (principal?.userId !== claims.userId) return undefined;
  // Time passes without a commit, so the cache keeps whose time is over.
  return principal.expiresAt * 1_000 > context.now() ? principal : undefined;
}

function readBearer(request: Request): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined) return undefined;
  return /^Bearer +([A-Za-z0-9._~+/=-]{1,4096})$/i.exec(header)?.[1] ?? '';
}

/**
 * A browser sends cookies with requests that other sites make. A write that is authenticated by one must come from
 * a page of ours: the browser says so in Sec-Fetch-Site or Origin, which scripts cannot set.
 * https://www.w3.org/TR/fetch-metadata/
 */
export function assertSameOrigin(request: Request, allowedOrigins: readonly string[]): void {
  if (SAFE_METHODS.has(request.method)) return;
  const { origin } = request.headers;
  if (request.headers['sec-fetch-site'] === 'same-origin') return;
  if (origin !== undefined && (allowedOrigins.includes(origin) || isOwnOrigin(origin, request)))
    return;
  throw new ClarinError('forbidden', 'a write with a cookie must come from a page of this origin');
}

function isOwnOrigin(origin: string, request: Request): boolean {
  return URL.canParse(origin) && new URL(origin).host === request.headers.host;
}
