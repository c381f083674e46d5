import { z } from 'zod';
import { formatLsn, type Lsn } from '../../../domain/lsn.ts';
import {
  ACCESS_TOKEN_SECONDS,
  issueAccessToken,
  type SessionRef,
} from '../../../platform/access.ts';
import type { Context, Reply } from '../context.ts';
import { TOKEN_COOKIE } from '../plugins/auth.ts';
import { JSON_TYPE } from './read.ts';
import { idSchema } from './schemas.ts';

/** What everything answers that opens a session or goes on with one. */
export const tokensSchema = z.object({
  token: z.string().describe('Bearer token for 15 minutes; also set as a cookie.'),
  expires_at: z.string().describe('When the token ends.'),
  refresh_token: z.string().describe('Works once; each refresh answers the next.'),
  account_id: idSchema,
});

export type Opened = { session: SessionRef; refreshToken: string; commitLsn: Lsn };

/** Sends them, and the cookie for pages. `members`: JSON members that come besides. */
export async function sendTokens(
  context: Context,
  reply: Reply,
  { session, refreshToken, commitLsn }: Opened,
  members: readonly string[] = [],
): Promise<Reply> {
  const { token, expiresAt } = await issueAccessToken(
    context.config.secret,
    session,
    context.now() / 1_000,
  );
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
