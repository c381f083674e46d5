import { z } from 'zod';
import { accounts } from '../../../domain/entities/accounts.ts';
import { users } from '../../../domain/entities/users.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { readEntity } from '../../../platform/entity-sql.ts';
import {
  hashPassword,
  PASSWORD_CHARACTERS_MAX,
  PASSWORD_CHARACTERS_MIN,
} from '../../../platform/password.ts';
import { changePassword } from '../../commands/change-password.ts';
import { forgetFailedLogins } from '../../commands/count-failed-login.ts';
import { openSession } from '../../commands/open-session.ts';
import { principalOf, seesOf, type App, type Context } from '../context.ts';
import { credentialLimit } from '../plugins/rate-limit.ts';
import { Credentials, type KnownUser } from './credentials.ts';
import { readAccountsOf, readFirstAccountId, readUserJson } from './identity.ts';
import { JSON_TYPE } from './read.ts';
import { answers, idSchema } from './schemas.ts';
import { sendTokens, tokensSchema } from './tokens.ts';
import { originOf } from './write.ts';

/*
 * These routes take no Idempotency-Key: what they answer holds tokens, which are kept nowhere in the clear.
 */

const password = z.string().min(1).max(PASSWORD_CHARACTERS_MAX);
const newPassword = z.string().min(PASSWORD_CHARACTERS_MIN).max(PASSWORD_CHARACTERS_MAX);

const accountOfUser = z.object({
  id: idSchema,
  name: z.string(),
  slug: z.string(),
  role_id: idSchema,
  role: z.string(),
  is_default: z.boolean(),
});
const loggedIn = tokensSchema.extend({ user: rowSchema(users), accounts: z.array(accountOfUser) });

const tags = ['auth'];

/** With a password: log in, change it. And who is logged in. */
export function registerAuthRoutes(app: App, context: Context): void {
  const credentials = new Credentials(context);
  registerLogin(app, context, credentials);
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
          username: users.columns.username.value as z.ZodType<string>,
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
      const accountId = await chooseAccount(
        context,
        user,
        ofUser.map(({ id }) => id),
        account_id,
      );
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
    const first =
      memberOf[0] ?? (user.isSuperAdmin ? await readFirstAccountId(context.database) : undefined);
    if (first === undefined)
      throw new ClarinError('forbidden', 'you are not a member of an active account');
    return first;
  }
  if (memberOf.includes(wanted)) return wanted;
  // A super admin logs in where they are at home and goes elsewhere by switch-account.
  throw new ClarinError('not_found', 'there is no such account');
}

function registerPassword(app: App, context: Context, credentials: Credentials): void {
  app.post(
    '/api/auth/password',
    {
      config: { access: 'member', onlyPeople: true, rateLimit: credentialLimit(context) },
      schema: {
        tags,
        summary: 'Change your password; ends all your other sessions',
        body: z.strictObject({ password, new_password: newPassword }),
        response: answers(200, tokensSchema),
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
      schema: {
        tags,
        summary: 'Who you are, where, and what you may do',
        response: answers(200, z.object({ data: me })),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { accountId, userId } = principal;
      const [user, account, ofUser] = await Promise.all([
        readUserJson(database, userId, request.cancel),
        readEntity(database, accounts, {
          accountId,
          id: accountId,
          sees: seesOf(principal),
          signal: request.cancel,
        }),
        readAccountsOf(database, userId, request.cancel),
      ]);
      const rest = JSON.stringify({
        accounts: ofUser,
        permissions: principal.permissions,
        ...(principal.roleId === null ? {} : { role_id: principal.roleId }),
        is_super_admin: principal.isSuperAdmin,
        session_id: principal.sessionId,
      });
      return reply
        .type(JSON_TYPE)
        .send(`{"data":{"user":${user},"account":${account},${rest.slice(1)}}`);
    },
  );
}
