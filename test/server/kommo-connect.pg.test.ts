import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startFakeKommo, type FakeKommo } from '../../fakes/kommo/fake-kommo.ts';
import { DEFAULT_INTEGRATION } from '../../fakes/kommo/oauth.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

const PATH = '/api/kommo/connections';
let api: TestApi;
let fake: FakeKommo;
let admin: Caller;
let stranger: Caller;

beforeAll(async () => {
  fake = await startFakeKommo();
  api = await startTestApi({
    environment: {
      KOMMO_URL: `${fake.url}/{subdomain}`,
      KOMMO_CLIENT_ID: DEFAULT_INTEGRATION.clientId,
      KOMMO_CLIENT_SECRET: DEFAULT_INTEGRATION.clientSecret,
      KOMMO_REDIRECT_URI: DEFAULT_INTEGRATION.redirectUri,
      KOMMO_REQUESTS_PER_SECOND: '7',
    },
  });
  admin = await api.account('kommo');
  stranger = await api.account('strangers');
});

afterAll(() => fake.stop());

const ask = (path: string, body: unknown, caller = admin) =>
  api.ask(caller, 'POST', path, { body });

describe('connecting Kommo', () => {
  test('with a long-lived token knows when that ends, and works', async () => {
    const { longLivedToken } = fake.createAccount({ subdomain: 'long' });
    const connected = await ask(PATH, { subdomain: 'LONG', access_token: longLivedToken });
    expect(connected.status, connected.text).toBe(201);
    expect(connected.body.data).toMatchObject({ subdomain: 'long', status: 'connected' });
    expect(Date.parse(connected.body.data.token_expires_at)).toBeGreaterThan(Date.now());
    const tested = await ask(`${PATH}/${connected.body.data.id}/test`, undefined);
    expect(tested.body.data).toMatchObject({ ok: true, account: { subdomain: 'long' } });
    expect(tested.text).not.toContain(longLivedToken);
  });

  test('with a code gets the tokens for it, once', async () => {
    fake.createAccount({ subdomain: 'coded' });
    const code = fake.world('coded').tokens.issueCode();
    const connected = await ask(PATH, { subdomain: 'coded', code });
    expect(connected.status, connected.text).toBe(201);
    const tested = await ask(`${PATH}/${connected.body.data.id}/test`, undefined);
    expect(tested.body.data).toMatchObject({ ok: true, account: { subdomain: 'coded' } });
    const again = await ask(PATH, { subdomain: 'coded', code });
    expect(again.status, again.text).toBe(422);
    expect(again.text).not.toContain(code);
  });

  test('believes no token that it is good for ever', async () => {
    for (const exp of [8.64e12, 1e300, -1, 'x']) {
      const claims = Buffer.from(JSON.stringify({ exp })).toString('base64url');
      const body = { subdomain: 'odd', access_token: `e30.${claims}.x` };
      const connected = await ask(PATH, body);
      expect(connected.status, connected.text).toBeLessThan(300);
      expect(connected.body.data.token_expires_at).toBeUndefined();
    }
  });

  test('needs a token or a code, and not both', async () => {
    for (const body of [
      { subdomain: 'a' },
      { subdomain: 'a', access_token: 'x', code: 'y' },
      { subdomain: 'a', code: null },
    ])
      expect({ body, status: (await ask(PATH, body)).status }).toEqual({ body, status: 400 });
  });
});

describe('testing a connection', () => {
  test('says in a sentence why it does not work, and writes nothing', async () => {
    fake.createAccount({ subdomain: 'wrong' });
    const connected = await ask(PATH, { subdomain: 'wrong', access_token: 'no-token-of-theirs' });
    const { id } = connected.body.data;
    const refused = await ask(`${PATH}/${id}/test`, undefined);
    expect(refused.status).toBe(200);
    expect(refused.body.data).toMatchObject({ ok: false, reason: 'needs_reauth' });
    expect(refused.body.data.says).toMatch(/does not accept/);
    const row = await api.ask(admin, 'GET', `${PATH}/${id}`);
    expect(row.body.data).toMatchObject({ status: 'connected' });
    expect((await ask(`${PATH}/${id}/test`, undefined, stranger)).status).toBe(404);
  });

  test('does not wait while Kommo asks for a pause', async () => {
    const { longLivedToken } = fake.createAccount({ subdomain: 'paused' });
    const connected = await ask(PATH, { subdomain: 'paused', access_token: longLivedToken });
    const path = `${PATH}/${connected.body.data.id}/test`;
    fake.faults.add({ subdomain: 'paused', times: 1, does: { kind: 'status', status: 429 } });
    const first = await ask(path, undefined);
    expect(first.body.data).toMatchObject({ ok: false, reason: 'rate_limited' });
    expect(Date.parse(first.body.data.until)).toBeGreaterThan(Date.now());
    const second = await ask(path, undefined);
    expect(second.body.data).toMatchObject({ ok: false, reason: 'rate_limited' });
  });
});
