import type { KommoIntegration } from '../../platform/config.ts';
import type { KommoTokens } from '../commands/kommo-tokens.ts';
import { addressOf } from './address.ts';
import { tokenAnswer } from './documents.ts';
import { KommoError } from './errors.ts';
import { judge } from './failed.ts';
import type { KommoMeans } from './means.ts';
import { sayBroken } from './sender.ts';

export type NewTokens = {
  readonly tokens: KommoTokens & { readonly refreshToken: string };
  /** Of the access token, Unix ms by our clock. */
  readonly expiresAtMs: number;
};

/**
 * `refused`: Kommo said no. `lost`: it may have done it, and nobody will know: a refresh token that was sent is then either
 * as good as before or used up.
 */
export type TokenOutcome =
  | ({ readonly kind: 'given' } & NewTokens)
  | { readonly kind: 'refused' | 'lost'; readonly error: KommoError };

type Grant =
  | { readonly grant_type: 'authorization_code'; readonly code: string }
  | { readonly grant_type: 'refresh_token'; readonly refresh_token: string };

type TokenRequest = {
  readonly subdomain: string;
  readonly integration: KommoIntegration;
  readonly grant: Grant;
};

type Means = Pick<KommoMeans, 'http' | 'config' | 'limiter' | 'log' | 'now'>;

const PATH = '/oauth2/access_token';
/** Lets nobody end it: an answer that is not waited for is a refresh token lost. HTTP's own limits do. */
const NEVER = new AbortController().signal;

/**
 * One request for tokens, for which the caller has a ticket. It does not look at whether the ticket is still good: there is
 * one such request a day, and a locked row waits for it.
 * @throws ClarinError when a pause that Kommo asks for cannot be written down.
 */
export async function requestTokens(
  means: Means,
  { subdomain, integration, grant }: TokenRequest,
): Promise<TokenOutcome> {
  const { clientId, clientSecret, redirectUri } = integration;
  const body = {
    client_id: clientId,
    client_secret: clientSecret,
    redirect_uri: redirectUri,
    ...grant,
  };
  const result = await means.http.send({
    method: 'POST',
    url: `${addressOf(means.config.url, subdomain)}${PATH}`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    startByMs: Infinity,
    signal: NEVER,
  });
  if (result.kind !== 'answered') {
    const code = result.kind === 'late' ? 'late' : result.code;
    return { kind: 'lost', error: new KommoError('unavailable', sayBroken(code)) };
  }
  const secrets = [
    clientSecret,
    grant.grant_type === 'refresh_token' ? grant.refresh_token : grant.code,
  ];
  const judged = await judge(means, result.answer, { path: PATH, secrets });
  if (judged.kind === 'failed') {
    const { kind } = judged.error;
    if (kind === 'unavailable' || kind === 'malformed')
      return { kind: 'lost', error: judged.error };
    return { kind: 'refused', error: refusalOf(judged.error) };
  }
  const parsed = tokenAnswer.safeParse(judged.kind === 'value' ? judged.value : undefined);
  // No word of what it is instead: it may hold tokens.
  if (!parsed.success)
    return { kind: 'lost', error: new KommoError('malformed', 'Kommo gave no tokens.') };
  const { access_token: accessToken, refresh_token: refreshToken, expires_in } = parsed.data;
  return {
    kind: 'given',
    tokens: { accessToken, refreshToken },
    expiresAtMs: means.now() + expires_in * 1_000,
  };
}

/** OAuth says 400 to a grant that is over (RFC 6749, 5.2), and to a fault of ours. */
function refusalOf(error: KommoError): KommoError {
  const { kind, message, status, requestId } = error;
  return kind === 'rejected' && /invalid_grant|revoked|expired/i.test(message)
    ? new KommoError('needs_reauth', message, { status, requestId })
    : error;
}

type Exchange = { readonly subdomain: string; readonly code: string; readonly signal: AbortSignal };

/**
 * Tokens for the code that Kommo has sent a browser back with. A code is good once and for some minutes.
 * @throws KommoError: `needs_reauth` or `rejected` for a code that is not good (any more), `rejected` without an integration.
 */
export async function exchangeCode(
  means: Means,
  { subdomain, code, signal }: Exchange,
): Promise<NewTokens> {
  const { integration } = means.config;
  if (!integration) throw new KommoError('rejected', NO_INTEGRATION);
  await means.limiter.acquire({ lane: 'interactive', connectionId: undefined, signal });
  const grant = { grant_type: 'authorization_code', code } as const;
  const outcome = await requestTokens(means, { subdomain, integration, grant });
  if (outcome.kind !== 'given') throw outcome.error;
  return { tokens: outcome.tokens, expiresAtMs: outcome.expiresAtMs };
}

export const NO_INTEGRATION =
  'Renewing the access to Kommo needs an integration: KOMMO_CLIENT_ID, KOMMO_CLIENT_SECRET and KOMMO_REDIRECT_URI are not set.';
