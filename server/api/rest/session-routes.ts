import { z } from 'zod';
import { ClarinError } from '../../../domain/errors.ts';
import { formatLsn } from '../../../domain/lsn.ts';
import { loadPrincipal } from '../../../platform/access.ts';
import { refreshSession } from '../../commands/refresh-session.ts';
import { revokeSession, revokeSessionOfToken } from '../../commands/revoke-session.ts';
import { switchAccount } from '../../commands/switch-account.ts';
import { principalOf, type App, type Context, type Request } from '../context.ts';
import { assertSameOrigin, TOKEN_COOKIE } from '../plugins/auth.ts';
import { credentialLimit } from '../plugins/rate-limit.ts';
import { answers, idSchema } from './schemas.ts';
import { sendTokens, tokensSchema } from './tokens.ts';
import { originOf } from './write.ts';

const tags = ['auth'];
const refreshTokenSchema = z.string().min(1).max(200);

/** A session goes on, ends, or opens another elsewhere. No Idempotency-Key, as in auth-routes.ts. */
export function registerSessionRoutes(app: App, context: Context): void {
  registerRefresh(app, context);
  registerLogout(app, context);
  registerSwitch(app, context);
}

function registerRefresh(app: App, context: Context): void {
  const { database } = context;
  app.post(
    '/api/auth/refresh',
    {
      config: { access: 'public', rateLimit: credentialLimit(context) },
      schema: {
        tags,
        summary: 'Exchange a refresh token for a new pair of tokens',
        security: [],
        body: z.strictObject({ refresh_token: refreshTokenSchema }),
        response: answers(200, tokensSchema),
      },
    },
    async (request, reply) => {
      const { value, commitLsn } = await database.transaction(
        (tx) => refreshSession(tx, request.body.refresh_token),
        { origin: originOf(request), signal: request.cancel },
      );
      if (value.outcome === 'reused') {
        throw new ClarinError(
          'token_reused',
          'this refresh token was used before; its session is over',
        );
      }
      if (value.outcome === 'refused')
        throw new ClarinError('unauthenticated', 'this refresh token is not valid');
      const { session, refreshToken } = value;
      return sendTokens(context, reply, { session, refreshToken, commitLsn });
    },
  );
}

function registerLogout(app: App, context: Context): void {
  const { database } = context;
  app.post(
    '/api/auth/logout',
    {
      // Who comes back after fifteen minutes has an access token that has expired, and wants to be out all the same.
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'End this session; without a valid access token, that of the refresh token',
        security: [{ bearer: [] }, { cookie: [] }, {}],
        body: z.strictObject({ refresh_token: refreshTokenSchema.optional() }).nullish(),
        response: answers(204, z.undefined()),
      },
    },
    async (request, reply) => {
      const { claims } = request;
      assertOwnPage(request, context.config.allowedOrigins);
      const refreshToken = request.body?.refresh_token;
      if (claims || refreshToken !== undefined) {
        const { commitLsn } = await database.transaction(
          async (tx) => {
            const principal = claims && (await loadPrincipal(tx, claims));
            if (principal && principal.apiKeyId !== null) throw ofKey();
            if (claims && principal) await revokeSession(tx, claims);
            else if (refreshToken !== undefined) await revokeSessionOfToken(tx, refreshToken);
          },
          {
            origin: { ...originOf(request), ...(claims ? { actor_id: claims.userId } : {}) },
            signal: request.cancel,
          },
        );
        reply.header('clarin-commit', formatLsn(commitLsn));
      }
      reply.clearCookie(TOKEN_COOKIE, { path: '/' });
      return reply.code(204).send();
    },
  );
}

function ofKey(): ClarinError {
  return new ClarinError('forbidden', 'an API key has nothing to log out of: revoke the key');
}

/** A page of elsewhere ends nobody's session, and does not take away the cookie either. */
function assertOwnPage(request: Request, allowedOrigins: readonly string[]): void {
  const isByCookie = request.claims !== null && request.isCookieAuthenticated;
  const isByNobody = request.claims === null && request.headers.origin !== undefined;
  if (isByCookie || isByNobody) assertSameOrigin(request, allowedOrigins);
}

function registerSwitch(app: App, context: Context): void {
  const { database } = context;
  app.post(
    '/api/auth/switch-account',
    {
      config: { access: 'member', onlyPeople: true },
      schema: {
        tags,
        summary: 'A session in another account of yours',
        body: z.strictObject({ account_id: idSchema }),
        response: answers(200, tokensSchema),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const accountId = request.body.account_id;
      const { value, commitLsn } = await database.transaction(
        (tx) => switchAccount(tx, { principal, accountId }),
        {
          origin: originOf(request),
          signal: request.cancel,
        },
      );
      const session = { sessionId: value.sessionId, userId: principal.userId, accountId };
      return sendTokens(context, reply, { session, refreshToken: value.refreshToken, commitLsn });
    },
  );
}
