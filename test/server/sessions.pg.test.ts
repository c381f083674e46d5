import { beforeAll, describe, expect, test } from 'vitest';
import { issueAccessToken } from '../../platform/access.ts';
import { sql } from '../../platform/sql.ts';
import { givePassword, PASSWORD, startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
/** A member of account one without any permission but leads. */
let agent: { token: string; userId: number; sessionId: number };

const me = async (caller: { token: string }) =>
  (await api.ask(caller, 'GET', '/api/auth/me')).body.data;
const isOpen = async (caller: { token: string }): Promise<boolean> =>
  (await api.ask(caller, 'GET', '/api/auth/me')).status === 200;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  const token = await api.tokenOf(one, ['leads']);
  const { user, session_id } = await me({ token });
  agent = { token, userId: user.id, sessionId: session_id };
});

type Row = { id: number; user_id: number; account_id: number; revoked_at?: string };

describe('the list of sessions', () => {
  const list = (caller: { token: string }, query = '') =>
    api.ask(caller, 'GET', `/api/sessions${query}`);

  test('shows everybody their own, and who manages users those of the account', async () => {
    const own = await list(agent);
    expect(own.status).toBe(200);
    expect(own.body).toMatchObject({ total: 1, page: 1, data: [{ id: agent.sessionId }] });
    expect(own.text).not.toContain('token');
    const all = await list(one);
    const users = new Set(all.body.data.map((row: Row) => row.user_id));
    expect(users).toEqual(new Set([one.userId, agent.userId]));
    expect(new Set(all.body.data.map((row: Row) => row.account_id))).toEqual(
      new Set([one.accountId]),
    );
  });

  test("is asked for by user, in vain for the others' by who may not see them", async () => {
    expect((await list(one, `?user_id=${agent.userId}`)).body.total).toBe(1);
    expect((await list(one, `?user_id=${two.userId}`)).body.total).toBe(0);
    expect((await list(agent, `?user_id=${one.userId}`)).body.total).toBe(0);
    expect((await list(agent, `?user_id=${agent.userId},${one.userId}`)).body.total).toBe(1);
  });

  test('goes on by page and by cursor, and refuses what it does not take', async () => {
    const first = await list(one, '?limit=1');
    expect(first.body.data).toHaveLength(1);
    const second = await list(one, `?limit=1&cursor=${first.body.next_cursor}`);
    expect(second.body.data[0].id).not.toBe(first.body.data[0].id);
    expect((await list(one, '?limit=0')).status).toBe(400);
    expect((await list(one, '?no_such_filter=1')).status).toBe(400);
    expect((await api.ask(undefined, 'GET', '/api/sessions')).status).toBe(401);
  });
});

describe('ending a session by its id', () => {
  const end = (caller: { token: string }, id: number) =>
    api.ask(caller, 'DELETE', `/api/sessions/${id}`);
  const open = async (account: Caller, userId = account.userId) => {
    const token = await api.tokenOf({ accountId: account.accountId, userId });
    return { token, id: (await me({ token })).session_id as number };
  };

  test('shuts it at once, and twice is once', async () => {
    const other = await open(one, agent.userId);
    const ended = await end(agent, other.id);
    expect(ended.status).toBe(200);
    expect(ended.body.data).toMatchObject({ id: other.id, user_id: agent.userId });
    expect(ended.body.data.revoked_at).toBeDefined();
    expect(await isOpen(other)).toBe(false);
    expect((await end(agent, other.id)).text).toBe(ended.text);
    const listed = await api.ask(agent, 'GET', '/api/sessions');
    expect(listed.body.data.map(({ id }: Row) => id)).not.toContain(other.id);
    const revoked = await api.ask(agent, 'GET', '/api/sessions?revoked=true');
    expect(revoked.body.data.map(({ id }: Row) => id)).toEqual([other.id]);
  });

  test('is for their own, and with the permission for those of the account', async () => {
    const ofOne = await open(one);
    const ofTwo = await open(two);
    expect((await end(agent, ofOne.id)).status).toBe(404);
    expect((await end(one, ofTwo.id)).status).toBe(404);
    expect((await end(one, 999_999)).status).toBe(404);
    expect((await end({ token: await api.tokenOf(one, ['users']) }, ofOne.id)).status).toBe(403);
    expect([await isOpen(ofOne), await isOpen(ofTwo)]).toEqual([true, true]);
    const ofAgent = await open(one, agent.userId);
    expect((await end(one, ofAgent.id)).status).toBe(200);
    expect(await isOpen(ofAgent)).toBe(false);
  });
});

describe('logging out', () => {
  const CLEARED = /^clarin_token=; Max-Age=0; Path=\/;/;
  const logIn = async () => {
    const username = await givePassword(api.owner, two.userId);
    const { body } = await api.ask(undefined, 'POST', '/api/auth/login', {
      body: { username, password: PASSWORD },
    });
    return body as { token: string; refresh_token: string };
  };
  const logOut = (body: object | undefined, headers: Record<string, string> = {}) =>
    api.ask(undefined, 'POST', '/api/auth/logout', { body, headers });
  /** The token of a session as it was an hour ago. */
  const expired = async (caller: { token: string }): Promise<string> => {
    const { session_id: sessionId, user, account } = await me(caller);
    const claims = { sessionId, userId: user.id, accountId: account.id };
    return (await issueAccessToken(api.config.secret, claims, Date.now() / 1_000 - 3_600)).token;
  };

  test('works with an expired access token where the refresh token is sent', async () => {
    const session = await logIn();
    const token = await expired(session);
    const out = await logOut(
      { refresh_token: session.refresh_token },
      { authorization: `Bearer ${token}` },
    );
    expect(out.status).toBe(204);
    expect(out.headers['set-cookie']).toMatch(CLEARED);
    expect(out.headers['clarin-commit']).toBeDefined();
    expect(await isOpen(session)).toBe(false);
    const refresh = await api.ask(undefined, 'POST', '/api/auth/refresh', {
      body: { refresh_token: session.refresh_token },
    });
    expect(refresh.status).toBe(401);
  });

  test('works with a cookie that has expired, and without any access token', async () => {
    for (const withCookie of [true, false]) {
      const session = await logIn();
      const cookie = `clarin_token=${await expired(session)}`;
      const out = await logOut(
        { refresh_token: session.refresh_token },
        withCookie ? { cookie, 'sec-fetch-site': 'same-origin' } : {},
      );
      expect(out.status).toBe(204);
      expect(await isOpen(session)).toBe(false);
    }
  });

  test('ends the session of the access token where that is valid, and no other', async () => {
    const session = await logIn();
    const other = await logIn();
    const out = await logOut(
      { refresh_token: other.refresh_token },
      { authorization: `Bearer ${session.token}` },
    );
    expect(out.status).toBe(204);
    expect(await isOpen(session)).toBe(false);
    // Giving the password again has not ended anything: it is the same one.
    expect(await isOpen(other)).toBe(true);
  });

  test('clears the cookie also where nothing is left to end, and ends nothing then', async () => {
    const count = async (): Promise<string | null | undefined> => {
      const rows = await api.owner.query(
        sql`select count(*) as open from public.sessions where revoked_at is null`,
      );
      return rows[0]?.['open'];
    };
    const before = await count();
    for (const body of [undefined, {}, { refresh_token: 'none of ours' }]) {
      const out = await logOut(body, { authorization: 'Bearer nonsense' });
      expect({ body, status: out.status }).toEqual({ body, status: 204 });
      expect(out.headers['set-cookie']).toMatch(CLEARED);
    }
    expect(await count()).toBe(before);
    expect((await logOut({ refresh: 'x' })).status).toBe(400);
  });

  test('is not for pages of elsewhere', async () => {
    const session = await logIn();
    const origin = 'https://elsewhere.example';
    const cookie = `clarin_token=${session.token}`;
    for (const headers of [{ origin }, { origin, cookie }]) {
      const out = await logOut(undefined, headers);
      expect(out.status).toBe(403);
      expect(out.headers['set-cookie']).toBeUndefined();
    }
    expect(await isOpen(session)).toBe(true);
  });
});
