import { describe, expect, it } from 'vitest';
import { DEFAULT_INTEGRATION } from '../../fakes/kommo/oauth.ts';
import { START_SECONDS, startAcme, type Acme } from './support.ts';

const CLIENT = {
  client_id: DEFAULT_INTEGRATION.clientId,
  client_secret: DEFAULT_INTEGRATION.clientSecret,
  redirect_uri: DEFAULT_INTEGRATION.redirectUri,
};

function ask({ call }: Acme, body: Record<string, string>, subdomain = 'acme') {
  return call(`/${subdomain}/oauth2/access_token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...CLIENT, ...body }),
  });
}

const refresh = (acme: Acme, token: string) =>
  ask(acme, { grant_type: 'refresh_token', refresh_token: token });

function withToken(token: string): RequestInit {
  return { headers: { authorization: `Bearer ${token}` } };
}

function claimsOf(token: string): Record<string, unknown> {
  const body = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
  return JSON.parse(body) as Record<string, unknown>;
}

describe('tokens', () => {
  it("are asked for: without one, with another or with another account's it is 401", async () => {
    const acme = await startAcme();
    const other = acme.fake.createAccount({ subdomain: 'other' });
    const strangers = [{}, withToken('nonsense'), withToken(other.accessToken)];
    for (const init of strangers) {
      const answer = await acme.call('/acme/api/v4/account', init);
      expect(answer.status).toBe(401);
      expect(answer.body).toMatchObject({ title: 'Unauthorized', status: 401 });
    }
    const forged = acme.access.accessToken.replace(/\.[^.]*$/, '.AAAA');
    expect((await acme.get('account', withToken(forged))).status).toBe(401);
    expect((await acme.get('account')).status).toBe(200);
    expect((await acme.get('account', withToken(acme.access.longLivedToken))).status).toBe(200);
  });

  it('are JWTs that tell their end, their account and where to ask', async () => {
    const { access, world } = await startAcme();
    expect(claimsOf(access.accessToken)).toMatchObject({
      exp: START_SECONDS + 86_400,
      account_id: world.id,
      api_domain: expect.any(String),
    });
    expect(claimsOf(access.longLivedToken)).toMatchObject({ exp: START_SECONDS + 365 * 86_400 });
    expect(claimsOf(world.tokens.issueLongLived(2))).toMatchObject({
      exp: START_SECONDS + 2 * 86_400,
    });
  });

  it('end with their time, and when they are revoked', async () => {
    const acme = await startAcme();
    const { accessToken } = acme.world.tokens.issuePair();
    acme.world.tokens.revoke(accessToken);
    expect((await acme.get('account', withToken(accessToken))).status).toBe(401);
    acme.clock.advance(86_399_000);
    expect((await acme.get('account')).status).toBe(200);
    acme.clock.advance(1_000);
    expect((await acme.get('account')).status).toBe(401);
    const long = withToken(acme.access.longLivedToken);
    expect((await acme.get('account', long)).status).toBe(200);
    acme.world.tokens.revokeAll();
    expect((await acme.get('account', long)).status).toBe(401);
    const fresh = withToken(acme.world.tokens.issueLongLived());
    expect((await acme.get('account', fresh)).status).toBe(200);
  });

  it('of an earlier run with the same seed are still good', async () => {
    const [before, after] = [await startAcme({ seed: 5 }), await startAcme({ seed: 5 })];
    const other = await startAcme({ seed: 6 });
    const { longLivedToken } = before.access;
    expect((await after.get('account', withToken(longLivedToken))).status).toBe(200);
    expect((await other.get('account', withToken(longLivedToken))).status).toBe(401);
  });
});

describe('the exchange of a code', () => {
  it('gives a pair once', async () => {
    const acme = await startAcme();
    const grant = { grant_type: 'authorization_code', code: acme.world.tokens.issueCode() };
    const first = await ask(acme, grant);
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({
      token_type: 'Bearer',
      expires_in: 86_400,
      server_time: START_SECONDS,
    });
    const token = withToken(String(first.body?.['access_token']));
    expect((await acme.get('account', token)).status).toBe(200);
    const second = await ask(acme, grant);
    expect(second.status).toBe(400);
    expect(second.body).toMatchObject({ hint: 'Token has been revoked' });
  });

  it('is refused after twenty minutes, to strangers, and for another address', async () => {
    const acme = await startAcme();
    const code = acme.world.tokens.issueCode();
    const grant = { grant_type: 'authorization_code', code };
    expect((await ask(acme, { ...grant, client_secret: 'wrong' })).status).toBe(401);
    expect((await ask(acme, { ...grant, redirect_uri: 'http://x.example' })).status).toBe(400);
    expect((await ask(acme, { grant_type: 'password' })).status).toBe(400);
    acme.clock.advance(20 * 60_000);
    expect((await ask(acme, grant)).body).toMatchObject({ hint: 'Token has expired' });
  });

  it('takes a form as well', async () => {
    const { call, world } = await startAcme();
    const grant = { grant_type: 'authorization_code', code: world.tokens.issueCode() };
    const body = new URLSearchParams({ ...CLIENT, ...grant });
    const answer = await call('/acme/oauth2/access_token', { method: 'POST', body });
    expect(answer.status).toBe(200);
  });
});

describe('a refresh', () => {
  it('uses its token up: the second time is the OAuth problem that says so', async () => {
    const acme = await startAcme();
    const first = await refresh(acme, acme.access.refreshToken);
    expect(first.status).toBe(200);
    expect(first.body?.['refresh_token']).not.toBe(acme.access.refreshToken);
    const again = await refresh(acme, acme.access.refreshToken);
    expect(again.status).toBe(401);
    expect(again.headers.get('content-type')).toBe('application/problem+json');
    expect(again.body).toMatchObject({
      hint: 'Token has been revoked',
      type: 'https://developers.amocrm.ru/v3/errors/OAuthProblemJson',
      status: 401,
    });
    // The new pair is untouched by it, and so is the old access token.
    expect((await refresh(acme, String(first.body?.['refresh_token']))).status).toBe(200);
    expect((await acme.get('account')).status).toBe(200);
  });

  it('is refused for a token that is over or none', async () => {
    const acme = await startAcme({ settings: { refreshTokenSeconds: 60 } });
    expect((await refresh(acme, 'nonsense')).status).toBe(401);
    acme.clock.advance(60_000);
    const late = await refresh(acme, acme.access.refreshToken);
    expect(late.body).toMatchObject({ status: 401, hint: 'Token has expired' });
  });

  it('may have happened though its answer is lost, by a reset or an error', async () => {
    const acme = await startAcme();
    const endpoint = 'oauth2/access_token';
    acme.fake.faults.add({ endpoint, times: 1, does: { kind: 'reset', isHandled: true } });
    await expect(refresh(acme, acme.access.refreshToken)).rejects.toThrow('fetch failed');
    expect((await refresh(acme, acme.access.refreshToken)).status).toBe(401);
    const { refreshToken } = acme.world.tokens.issuePair();
    const does = { kind: 'status', status: 503, isHandled: true } as const;
    acme.fake.faults.add({ endpoint, times: 1, does });
    expect((await refresh(acme, refreshToken)).status).toBe(503);
    expect((await refresh(acme, refreshToken)).body).toMatchObject({
      hint: 'Token has been revoked',
    });
  });

  it('has not happened when the error came before it', async () => {
    const acme = await startAcme();
    const does = { kind: 'status', status: 503 } as const;
    acme.fake.faults.add({ endpoint: 'oauth2/access_token', times: 1, does });
    expect((await refresh(acme, acme.access.refreshToken)).status).toBe(503);
    expect((await refresh(acme, acme.access.refreshToken)).status).toBe(200);
  });
});

describe('an account that is renamed', () => {
  it('is gone from its old address, for tokens too, and found again by its refresh token', async () => {
    const acme = await startAcme();
    const { refreshToken, accessToken } = acme.access;
    acme.world.rename('better');
    expect((await acme.get('account')).status).toBe(404);
    expect((await refresh(acme, refreshToken)).status).toBe(404);
    const where = '/oauth2/account/current/subdomain';
    const found = await acme.call(where, { headers: { 'x-refresh-token': refreshToken } });
    expect(found.body).toMatchObject({ id: acme.world.id, subdomain: 'better' });
    const byToken = await acme.call('/oauth2/account/subdomain', withToken(accessToken));
    expect(byToken.body).toMatchObject({ domain: 'better.kommo.com' });
    const there = await acme.call('/better/api/v4/account', withToken(accessToken));
    expect(there.body).toMatchObject({ subdomain: 'better' });
    const grant = { grant_type: 'refresh_token', refresh_token: refreshToken };
    expect((await ask(acme, grant, 'better')).status).toBe(200);
    expect((await acme.call(where, { headers: { 'x-refresh-token': 'x' } })).status).toBe(401);
    expect(acme.fake.world('better')).toBe(acme.world);
    expect(() => acme.fake.world('acme')).toThrow('no account acme');
  });
});

describe('an account whose plan has ended', () => {
  it('answers 402 to everybody it lets in', async () => {
    const acme = await startAcme();
    acme.world.set({ isPaymentRequired: true });
    const answer = await acme.get('leads');
    expect(answer.status).toBe(402);
    expect(answer.body).toMatchObject({ title: 'Payment Required', detail: 'Payment required' });
    expect((await acme.get('leads', withToken('x'))).status).toBe(401);
    acme.world.set({ isPaymentRequired: false });
    expect((await acme.get('account')).status).toBe(200);
  });
});
