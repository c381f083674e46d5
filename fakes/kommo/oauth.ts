import { hal, type Answer } from './answer.ts';
import { badRequest, oauthProblem, Problem } from './problem.ts';
import type { GrantRefusal, TokenPair } from './tokens.ts';
import type { World } from './world.ts';

/** The integration that may ask for tokens, the same for every account. */
export type Integration = {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUri: string;
};

export const DEFAULT_INTEGRATION: Integration = {
  clientId: 'fake-client',
  clientSecret: 'fake-secret',
  redirectUri: 'http://127.0.0.1/oauth',
};

/**
 * `POST /oauth2/access_token`. https://developers.kommo.com/docs/oauth-20
 * @throws Problem 400 for what is no such request, 401 for a wrong client and for a code or refresh token that is no good.
 */
export function answerTokenRequest(
  world: World,
  integration: Integration,
  { body, nowMs }: { body: Readonly<Record<string, unknown>>; nowMs: number },
): Answer {
  const text = (name: string): string => {
    const value = body[name];
    if (typeof value === 'string' && value !== '') return value;
    throw badRequest([{ path: name, detail: 'This field is missing.' }]);
  };
  const isClient =
    text('client_id') === integration.clientId &&
    text('client_secret') === integration.clientSecret;
  if (!isClient) {
    throw oauthProblem(401, 'Client authentication failed', 'The client is not known.');
  }
  const grantType = text('grant_type');
  const grant =
    grantType === 'authorization_code'
      ? exchange(world, integration, { code: text('code'), redirectUri: text('redirect_uri') })
      : grantType === 'refresh_token'
        ? orRefuse(world.tokens.refresh(text('refresh_token')), 401)
        : undefined;
  if (!grant) throw badRequest([{ path: 'grant_type', detail: 'This grant is not supported.' }]);
  return {
    status: 200,
    type: 'json',
    body: {
      token_type: 'Bearer',
      expires_in: grant.expiresIn,
      server_time: Math.floor(nowMs / 1_000),
      access_token: grant.accessToken,
      refresh_token: grant.refreshToken,
    },
  };
}

function exchange(
  world: World,
  integration: Integration,
  { code, redirectUri }: { code: string; redirectUri: string },
): TokenPair {
  if (redirectUri !== integration.redirectUri) {
    throw badRequest([{ path: 'redirect_uri', detail: 'This is not the one of the integration.' }]);
  }
  return orRefuse(world.tokens.exchangeCode(code), 400);
}

function orRefuse(grant: TokenPair | GrantRefusal, status: 400 | 401): TokenPair {
  if (typeof grant === 'object') return grant;
  const hint = grant === 'unknown' ? 'Cannot decrypt the refresh token' : grant;
  throw oauthProblem(status, hint, 'The authorization is not valid any more.');
}

/**
 * `GET /oauth2/account/current/subdomain` with `X-Refresh-Token`, or `/oauth2/account/subdomain` with an access token: how
 * a client whose account was renamed finds it again. It is asked at the host of the token's claim `api_domain`: here any.
 */
export function answerWhereAccountIs(
  worlds: Iterable<World>,
  { bearer, refreshToken }: { bearer: string | undefined; refreshToken: string | undefined },
): Answer {
  for (const world of worlds) {
    const isTheirs =
      (bearer !== undefined && world.tokens.accepts(bearer)) ||
      (refreshToken !== undefined && world.tokens.isRefreshToken(refreshToken));
    if (!isTheirs) continue;
    const { id, subdomain } = world;
    return hal({
      id,
      subdomain,
      domain: `${subdomain}.kommo.com`,
      top_level_domain: 'com',
    });
  }
  throw new Problem(401, 'Invalid user name or password');
}
