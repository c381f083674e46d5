import { beforeAll, describe, expect, test } from 'vitest';
import { issueAccessToken, verifyAccessToken } from '../../platform/access.ts';
import { sql } from '../../platform/sql.ts';
import {
  givePassword,
  PASSWORD,
  startTestApi,
  statusesOf,
  type Answer,
  type Caller,
  type TestApi,
} from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let username: string;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  username = await givePassword(api.owner, one.userId);
  // A new password has ended the sessions.
  one = { ...one, token: await api.tokenOf(one) };
});

function logIn(
  body: object = { username, password: PASSWORD },
  remoteAddress?: string,
): Promise<Answer> {
  return api.ask(undefined, 'POST', '/api/auth/login', {
    body,
    ...(remoteAddress ? { remoteAddress } : {}),
  });
}

const me = (token: string) => api.ask({ token }, 'GET', '/api/auth/me');

describe('logging in', () => {
  test('gives tokens, the user without secrets, the accounts and a cookie', async () => {
    const { status, body, headers, text } = await logIn({
      username: `  ${username.toUpperCase()} `,
      password: PASSWORD,
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ account_id: one.accountId, user: { id: one.userId, username } });
    expect(body.accounts).toMatchObject([
      { id: one.accountId, slug: 'one', role: 'Administrator', is_default: true },
    ]);
    expect(text).not.toMatch(/argon2|password_hash|failed_logins/);
    expect(headers['set-cookie']).toMatch(
      /^clarin_token=[^;]+; Max-Age=900; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    expect(headers['cache-control']).toBe('no-store');
    const who = await me(body.token);
    expect(who.body.data).toMatchObject({
      user: { id: one.userId },
      account: { id: one.accountId },
      permissions: ['*'],
      is_super_admin: false,
    });
  });

  test('refuses a wrong password and an unknown name in the same words', async () => {
    const wrong = await logIn({ username, password: 'wrong password' });
    const unknown = await logIn({ username: 'nobody', password: 'wrong password' });
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(unknown.body).toEqual(wrong.body);
    expect(wrong.body.code).toBe('invalid_credentials');
    expect((await logIn()).status).toBe(200);
  });

  test('knows a name by what the database calls its lower case', async () => {
    const [role] = await api.owner.query(
      sql`select id from public.roles where account_id = ${one.accountId} and name = 'Agent'`,
    );
    // Lower case of the first ends in ς for JavaScript and in σ for Postgres; the second grows by a character.
    for (const name of ['ΣΑΣ', 'İNCİ']) {
      const created = await api.ask(one, 'POST', '/api/users', {
        body: {
          username: name,
          display_name: name,
          password: PASSWORD,
          role_id: Number(role?.['id']),
        },
      });
      expect(created.status).toBe(201);
      expect((await logIn({ username: name, password: PASSWORD })).status).toBe(200);
    }
    expect((await logIn({ username: 'a\0', password: PASSWORD })).status).toBe(400);
  });

  test('locks the user after five failures, even for the right password, and counts side by side', async () => {
    const name = await givePassword(api.owner, two.userId);
    const attempts = await Promise.all(
      Array.from({ length: 8 }, () => logIn({ username: name, password: 'a guess at it' })),
    );
    expect(statusesOf(attempts)).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    const right = await logIn({ username: name, password: PASSWORD });
    expect(right.status).toBe(429);
    expect(right.body.code).toBe('locked_out');
    expect(Number(right.headers['retry-after'])).toBeGreaterThan(600);
    await api.owner.query(
      sql`update public.users set locked_until = now() where id = ${two.userId}`,
    );
    expect((await logIn({ username: name, password: PASSWORD })).status).toBe(200);
    const rows = await api.owner.query(
      sql`select failed_logins, locked_until from public.users where id = ${two.userId}`,
    );
    expect(rows[0]).toEqual({ failed_logins: '0', locked_until: null });
  });

  test('is for active users, in their own active accounts', async () => {
    expect((await logIn({ username, password: PASSWORD, account_id: two.accountId })).status).toBe(
      404,
    );
    const three = await api.account('three');
    const name = await givePassword(api.owner, three.userId);
    await api.owner.query(
      sql`update public.accounts set is_active = false where id = ${three.accountId}`,
    );
    expect((await logIn({ username: name, password: PASSWORD })).status).toBe(403);
    expect((await me(three.token)).status).toBe(401);
    await api.owner.query(
      sql`update public.users set is_active = false where id = ${three.userId}`,
    );
    expect((await logIn({ username: name, password: PASSWORD })).status).toBe(401);
  });

  test('is limited per address', async () => {
    const limited = await startTestApi({ environment: { LOGIN_LIMIT_PER_MINUTE: '3' } });
    const attempt = (remoteAddress: string) =>
      limited.ask(undefined, 'POST', '/api/auth/login', {
        body: { username: 'x', password: 'y' },
        remoteAddress,
      });
    for (let i = 0; i < 3; i++) expect((await attempt('10.0.0.1')).status).toBe(401);
    const refused = await attempt('10.0.0.1');
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ code: 'rate_limited' });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await attempt('10.0.0.2')).status).toBe(401);
  });
});

describe('refreshing', () => {
  const refresh = (token: string) =>
    api.ask(undefined, 'POST', '/api/auth/refresh', { body: { refresh_token: token } });

  test('gives the next pair, which works', async () => {
    const { body } = await logIn();
    const next = await refresh(body.refresh_token);
    expect(next.status).toBe(200);
    expect(next.body.refresh_token).not.toBe(body.refresh_token);
    expect((await me(next.body.token)).status).toBe(200);
    expect((await refresh(next.body.refresh_token)).status).toBe(200);
  });

  test('a token used twice ends its whole family', async () => {
    const { body } = await logIn();
    const other = await logIn();
    const next = await refresh(body.refresh_token);
    const again = await refresh(body.refresh_token);
    expect(again.status).toBe(401);
    expect(again.body.code).toBe('token_reused');
    expect((await me(next.body.token)).status).toBe(401);
    expect((await refresh(next.body.refresh_token)).status).toBe(401);
    expect((await me(other.body.token)).status).toBe(200);
  });

  test('two at the same instant count as reuse', async () => {
    const { body } = await logIn();
    const answers = await Promise.all([refresh(body.refresh_token), refresh(body.refresh_token)]);
    expect(statusesOf(answers)).toEqual([200, 401]);
    expect((await me(body.token)).status).toBe(401);
  });

  test('nothing that is not a refresh token refreshes', async () => {
    const { body } = await logIn();
    expect((await refresh(body.token.slice(0, 199))).status).toBe(401);
    expect((await refresh('x')).status).toBe(401);
    const kept = await api.owner.query(
      sql`select encode(token_hash, 'base64') as kept from private.refresh_tokens`,
    );
    expect(kept.map((row) => row['kept'])).not.toContain(body.refresh_token);
  });
});

describe('sessions', () => {
  test('logging out ends the session at once and clears the cookie', async () => {
    const { body } = await logIn();
    const out = await api.ask({ token: body.token }, 'POST', '/api/auth/logout');
    expect(out.status).toBe(204);
    expect(out.headers['set-cookie']).toMatch(/^clarin_token=; Max-Age=0; Path=\/;/);
    expect((await me(body.token)).status).toBe(401);
    const refresh = await api.ask(undefined, 'POST', '/api/auth/refresh', {
      body: { refresh_token: body.refresh_token },
    });
    expect(refresh.status).toBe(401);
  });

  test('switching the account opens a session there, for members only', async () => {
    expect((await switchTo(one.token, two.accountId)).status).toBe(404);
    await api.owner.query(sql`
      insert into public.memberships (account_id, user_id, role_id)
      select account_id, ${one.userId}, id from public.roles where account_id = ${two.accountId} and name = 'Agent'`);
    const switched = await switchTo(one.token, two.accountId);
    expect(switched.status).toBe(200);
    const there = await me(switched.body.token);
    expect(there.body.data.account.id).toBe(two.accountId);
    expect(there.body.data.permissions).not.toContain('*');
    expect((await me(one.token)).body.data.account.id).toBe(one.accountId);
    await api.owner.query(
      sql`delete from public.memberships where account_id = ${two.accountId} and user_id = ${one.userId}`,
    );
    expect((await me(switched.body.token)).status).toBe(401);
  });

  test('a super administrator enters every active account', async () => {
    const four = await api.account('four');
    await api.owner.query(
      sql`update public.users set is_super_admin = true where id = ${four.userId}`,
    );
    const token = await api.tokenOf(four);
    const switched = await switchTo(token, two.accountId);
    expect(switched.status).toBe(200);
    expect((await api.ask(switched.body, 'GET', '/api/leads')).status).toBe(200);
    const who = await me(switched.body.token);
    expect(who.body.data).toMatchObject({ is_super_admin: true, account: { id: two.accountId } });
  });

  const switchTo = (token: string, accountId: number) =>
    api.ask({ token }, 'POST', '/api/auth/switch-account', { body: { account_id: accountId } });

  test('changing the password ends all other sessions and goes on in a new one', async () => {
    const five = await api.account('five');
    const name = await givePassword(api.owner, five.userId);
    const first = (await logIn({ username: name, password: PASSWORD })).body;
    const second = (await logIn({ username: name, password: PASSWORD })).body;
    const wrong = await api.ask(first, 'POST', '/api/auth/password', {
      body: { password: 'not this one', new_password: 'another good one' },
    });
    expect(wrong.status).toBe(401);
    const changed = await api.ask(first, 'POST', '/api/auth/password', {
      body: { password: PASSWORD, new_password: 'another good one' },
    });
    expect(changed.status).toBe(200);
    expect((await me(first.token)).status).toBe(401);
    expect((await me(second.token)).status).toBe(401);
    expect((await me(changed.body.token)).status).toBe(200);
    expect((await logIn({ username: name, password: PASSWORD })).status).toBe(401);
    expect((await logIn({ username: name, password: 'another good one' })).status).toBe(200);
  });
});

describe('tokens', () => {
  const session = { sessionId: 1, userId: 2, accountId: 3 };
  const secret = 'a secret that is long enough to be one';

  test('name a session for fifteen minutes', async () => {
    const now = Math.floor(Date.now() / 1_000);
    const { token, expiresAt } = await issueAccessToken(secret, session, now);
    expect(expiresAt).toBe(now + 900);
    expect(await verifyAccessToken(secret, token)).toEqual({ ...session, expiresAt });
  });

  test('of another secret, another algorithm or another time are refused', async () => {
    const { token } = await issueAccessToken(secret, session, Date.now() / 1_000);
    const old = await issueAccessToken(secret, session, Date.now() / 1_000 - 1_000);
    const [, payload] = token.split('.');
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
    for (const bad of [`${token}x`, old.token, unsigned, 'x', '']) {
      await expect(verifyAccessToken(secret, bad)).rejects.toMatchObject({
        code: 'unauthenticated',
      });
    }
    await expect(verifyAccessToken(`${secret}!`, token)).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  });

  test('of one user do not open a session of another', async () => {
    const [row] = await api.owner.query(sql`
      select id from public.sessions where account_id = ${one.accountId} and user_id = ${one.userId} limit 1`);
    const forged = { sessionId: Number(row?.['id']), userId: two.userId, accountId: one.accountId };
    const { token } = await issueAccessToken(api.config.secret, forged, Date.now() / 1_000);
    expect((await me(token)).status).toBe(401);
  });

  test('as a cookie, write only for pages of this origin', async () => {
    const cookie = `clarin_token=${one.token}`;
    const post = (headers: Record<string, string>) =>
      api.ask(undefined, 'POST', '/api/tags', {
        body: { name: `c${Object.values(headers).join('').length}` },
        headers: { cookie, ...headers },
      });
    expect((await api.ask(undefined, 'GET', '/api/tags', { headers: { cookie } })).status).toBe(
      200,
    );
    expect((await post({})).status).toBe(403);
    expect((await post({ origin: 'https://elsewhere.example' })).status).toBe(403);
    expect((await post({ 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await post({ 'sec-fetch-site': 'same-origin' })).status).toBe(201);
    expect((await post({ host: 'clarin.example', origin: 'https://clarin.example' })).status).toBe(
      201,
    );
  });
});
