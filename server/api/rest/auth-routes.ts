import { z } from 'zod';
import { accounts } from '../../../domain/entities/accounts.ts';
import { users } from '../../../domain/entities/users.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { formatLsn, type Lsn } from '../../../domain/lsn.ts';
import { ACCESS_TOKEN_SECONDS, issueAccessToken, type SessionRef } from '../../../platform/access.ts';
import { readEntity } from '../../../platform/entity-sql.ts';
import { hashPassword, PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN } from '../../../platform/password.ts';
import { changePassword } from '../../commands/change-password.ts';
import { forgetFailedLogins } from '../../commands/count-failed-login.ts';
import { openSession } from '../../commands/open-session.ts';
import { refreshSession } from '../../commands/refresh-session.ts';
import { revokeSession } from '../../commands/revoke-session.ts';
import { switchAccount } from '../../commands/switch-account.ts';
import { principalOf, seesOf, type App, type Context, type Reply } from '../context.ts';
import { TOKEN_COOKIE } from '../plugins/auth.ts';
import { credentialLimit } from '../plugins/rate-limit.ts';
import { Credentials, type KnownUser } from './credentials.ts';
import { readAccountsOf, readFirstAccountId, readUserJson } from './identity.ts';
import { JSON_TYPE } from './read.ts';
import { answers, idSchema } from './schemas.ts';
import { originOf } from './write.ts';

/*
 * These routes take no Idempotency-Key: what they answer holds tokens, which are kept nowhere in the clear.
 */

const password = z.string().min(1).max(PASSWORD_CHARACTERS_MAX);
const newPassword = z.string().min(PASSWORD_CHARACTERS_MIN).max(PASSWORD_CHARACTERS_MAX);

const tokens = z.object({
  token: z.string().describe('Bearer token for 15 minutes; also set as a cookie.'),
  expires_at: z.string().describe('When the token ends.'),
  refresh_token: z.string().describe('Works once; each refresh answers the next.'),
  account_id: idSchema,
});
const accountOfUser = z.object({
  id: idSchema,
  name: z.string(),
  slug: z.string(),
  role_id: idSchema,
  role: z.string(),
  is_default: z.boolean(),
});
const loggedIn = tokens.extend({ user: rowSchema(users), accounts: z.array(accountOfUser) });

const tags = ['auth'];

export function registerAuthRoutes(app: App, context: Context): void {
  const credentials = new Credentials(context);
  registerLogin(app, context, credentials);
  registerSessionRoutes(app, context);
  registerPassword(app, context, credentials);
  registerMe(app, context);
}

function registerLogin(app: App, context: Context, credentials: Credentials): void {
  const { database } = context;
  app.post(
    '/api/auth/login',
    {
      config: { access: 'public', rateLimit: credentialLimit(context) },
      schema: {
        tags,
        summary: 'Log in',
        security: [],
        body: z.strictObject({
          username: z.string().min(1).max(100),
          password,
          account_id: idSchema.optional().describe('Absent: the default account.'),
        }),
        response: answers(200, loggedIn),
      },
    },
    async (request, reply) => {
      const { username, password: given, account_id } = request.body;
      const user = await credentials.checkByName(username, given, request.cancel);
      const [userJson, ofUser] = await Promise.all([
        readUserJson(database, user.id, request.cancel),
        readAccountsOf(database, user.id, request.cancel),
      ]);
      const accountId = await chooseAccount(context, user, ofUser.map(({ id }) => id), account_id);
      const { value, commitLsn } = await database.transaction(
        async (tx) => {
          await forgetFailedLogins(tx, user.id);
          return openSession(tx, { accountId, userId: user.id });
        },
        { origin: { ...originOf(request), actor_id: user.id }, signal: request.cancel },
      );
      const session = { sessionId: value.sessionId, userId: user.id, accountId };
      return sendTokens(context, reply, { session, refreshToken: value.refreshToken, commitLsn }, [
        `"user":${userJson}`,
        `"accounts":${JSON.stringify(ofUser)}`,
      ]);
    },
  );
}

/** @throws ClarinError forbidden without any account, not_found for one that is not theirs. */
async function chooseAccount(
  context: Context,
  user: KnownUser,
  memberOf: readonly number[],
  wanted: number | undefined,
): Promise<number> {
  if (wanted === undefined) {
    const first = memberOf[0] ?? (user.isSuperAdmin ? await readFirstAccountId(context.database) : undefined);
    if (first === undefined) throw new ClarinError('forbidden', 'you are not a member of an active account');
    return first;
  }
  if (memberOf.includes(wanted)) return wanted;
  // A super admin logs in where they are at home and goes elsewhere by switch-account.
  throw new ClarinError('not_found', 'there is no such account');
}

function registerSessionRoutes(app: App, context: Context): void {
  const { database } = context;
  app.post(
    '/api/auth/refresh',
    {
      config: { access: 'public', rateLimit: credentialLimit(context) },
      schema: {
        tags,
        summary: 'Exchange a refresh token for a new pair of tokens',
        security: [],
        body: z.strictObject({ refresh_token: z.string().min(1).max(200) }),
        response: answers(200, tokens),
      },
    },
    async (request, reply) => {
      const { value, commitLsn } = await database.transaction(
        (tx) => refreshSession(tx, request.body.refresh_token),
        { origin: originOf(request), signal: request.cancel },
      );
      if (value.outcome === 'reused') {
        throw new ClarinError('token_reused', 'this refresh token was used before; its session is over');
      }
      if (value.outcome === 'refused') throw new ClarinError('unauthenticated', 'this refresh token is not valid');
      const { session, refreshToken } = value;
      return sendTokens(context, reply, { session, refreshToken, commitLsn });
    },
  );
  app.post(
    '/api/auth/logout',
    {
      config: { access: 'member' },
      schema: { tags, summary: 'End this session', response: answers(204, z.undefined()) },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { commitLsn } = await database.transaction((tx) => revokeSession(tx, principal), {
        origin: originOf(request),
        signal: request.cancel,
      });
      reply.header('clarin-commit', formatLsn(commitLsn));
      reply.clearCookie(TOKEN_COOKIE, { path: '/' });
      return reply.code(204).send();
    },
  );
  app.post(
    '/api/auth/switch-account',
    {
      config: { access: 'member' },
      schema: {
        tags,
        summary: 'A session in another account of yours',
        body: z.strictObject({ account_id: idSchema }),
        response: answers(200, tokens),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const accountId = request.body.account_id;
      const { value, commitLsn } = await database.transaction((tx) => switchAccount(tx, { principal, accountId }), {
        origin: originOf(request),
        signal: request.cancel,
      });
      const session = { sessionId: value.sessionId, userId: principal.userId, accountId };
      return sendTokens(context, reply, { session, refreshToken: value.refreshToken, commitLsn });
    },
  );
}

function registerPassword(app: App, context: Context, credentials: Credentials): void {
  app.post(
    '/api/auth/password',
    {
      config: { access: 'member', rateLimit: credentialLimit(context) },
      schema: {
        tags,
        summary: 'Change your password; ends all your other sessions',
        body: z.strictObject({ password, new_password: newPassword }),
        response: answers(200, tokens),
      },
    },
    async (request, reply) => {
      const { accountId, userId } = principalOf(request);
      await credentials.checkById(userId, request.body.password, request.cancel);
      const passwordHash = await hashPassword(request.body.new_password);
      const { value, commitLsn } = await context.database.transaction(
        (tx) => changePassword(tx, { accountId, userId, passwordHash }),
        { origin: originOf(request), signal: request.cancel },
      );
      const session = { sessionId: value.sessionId, userId, accountId };
      return sendTokens(context, reply, { session, refreshToken: value.refreshToken, commitLsn });
    },
  );
}

function registerMe(app: App, context: Context): void {
  const { database } = context;
  const me = z.object({
    user: rowSchema(users),
    account: rowSchema(accounts),
    accounts: z.array(accountOfUser),
    permissions: z.array(z.string()),
    role_id: idSchema.optional(),
    is_super_admin: z.boolean(),
    session_id: idSchema,
  });
  app.get(
    '/api/auth/me',
    {
      config: { access: 'member' },
      schema: { tags, summary: 'Who you are, where, and what you may do', response: answers(200, z.object({ data: me })) },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { accountId, userId } = principal;
      const [user, account, ofUser] = await Promise.all([
        readUserJson(database, userId, request.cancel),
        readEntity(database, accounts, { accountId, id: accountId, sees: seesOf(principal), signal: request.cancel }),
        readAccountsOf(database, userId, request.cancel),
      ]);
      const rest = JSON.stringify({
        accounts: ofUser,
        permissions: principal.permissions,
        ...(principal.roleId === null ? {} : { role_id: principal.roleId }),
        is_super_admin: principal.isSuperAdmin,
        session_id: principal.sessionId,
      });
      return reply.type(JSON_TYPE).send(`{"data":{"user":${user},"account":${account},${rest.slice(1)}}`);
    },
  );
}

type Opened = { session: SessionRef; refreshToken: string; commitLsn: Lsn };

/** The answer of everything that opens or goes on with a session, and the cookie for pages. */
async function sendTokens(
  context: Context,
  reply: Reply,
  { session, refreshToken, commitLsn }: Opened,
  members: readonly string[] = [],
): Promise<Reply> {
  const { token, expiresAt } = await issueAccessToken(context.config.secret, session, context.now() / 1_000);
  reply.setCookie(TOKEN_COOKIE, token, {
    httpOnly: true,
    secure: context.config.cookieSecure,
    sameSite: 'lax',
    path: '/',
    maxAge: ACCESS_TOKEN_SECONDS,
  });
  reply.header('clarin-commit', formatLsn(commitLsn));
  reply.header('cache-control', 'no-store');
  const own = JSON.stringify({
    token,
    expires_at: new Date(expiresAt * 1_000).toISOString(),
    refresh_token: refreshToken,
    account_id: session.accountId,
  });
  return reply.type(JSON_TYPE).send([own.slice(0, -1), ...members].join(',') + '}');
}
