import { Writable } from 'node:stream';
import { pino } from 'pino';
import { beforeAll, describe, expect, test } from 'vitest';
import { createSecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { buildApp } from '../../server/api/app.ts';
import { readKommoTokens } from '../../server/commands/kommo-tokens.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

const PATH = '/api/kommo/connections';
const ACCESS = 'access-token-of-the-tests';
const REFRESH = 'refresh-token-of-the-tests';
let api: TestApi;
let admin: Caller;
let stranger: Caller;
let names = 0;

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('kommo');
  stranger = await api.account('strangers');
});

const ask = (method: string, path: string, body?: unknown, caller: { token: string } = admin) =>
  api.ask(caller, method, path, { body });

async function connect(more: Record<string, unknown> = {}): Promise<number> {
  const subdomain = `test-${++names}`;
  const body = { subdomain, access_token: ACCESS, refresh_token: REFRESH, ...more };
  const answer = await ask('POST', PATH, body);
  expect(answer.status, answer.text).toBe(201);
  return answer.body.data.id;
}

const tokensOf = (connectionId: number, accountId = admin.accountId) =>
  readKommoTokens(api.owner, createSecretBox(api.config.encryptionKey), {
    accountId,
    connectionId,
  });

describe('a connection to Kommo', () => {
  test('[A11] keeps its tokens sealed, and shows them to nobody', async () => {
    const id = await connect({ expires_at: '2030-01-01T00:00:00Z' });
    expect(await tokensOf(id)).toEqual({ accessToken: ACCESS, refreshToken: REFRESH });
    expect(await tokensOf(id, stranger.accountId)).toBeUndefined();
    const answer = await ask('GET', `${PATH}/${id}`);
    expect(answer.body.data).toMatchObject({ status: 'connected', full_sync_state: 'none' });
    expect(answer.body.data.token_expires_at).toBe('2030-01-01T00:00:00.000000Z');
    const stored = await api.owner.query(sql`
      select encode(access_token || refresh_token, 'escape') as bytes
      from private.kommo_tokens where connection_id = ${id}`);
    expect(stored[0]?.['bytes']).not.toContain('token');
  });

  test('[A11] leaves no token in answers, in the log, in kept answers, in the audit log or in a published table', async () => {
    const lines: string[] = [];
    const sink = new Writable({
      write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()),
    });
    const { config, cache, metrics, media, database } = api;
    const log = pino({ level: 'trace' }, sink);
    const app = await buildApp({ config, cache, media, metrics, log, database });
    const texts: string[] = [];
    const send = async (payload: Record<string, unknown>) => {
      const answer = await app.inject({
        method: 'POST',
        url: PATH,
        headers: { authorization: `Bearer ${admin.token}`, 'idempotency-key': `k${++names}` },
        payload,
      });
      texts.push(answer.body, JSON.stringify(answer.headers));
      return answer.statusCode;
    };
    const tokens = { access_token: ACCESS, refresh_token: REFRESH };
    expect(await send({ subdomain: 'hidden', ...tokens })).toBe(201);
    expect(await send({ subdomain: 'not one', ...tokens })).toBe(400);
    expect(await send({ subdomain: 'hidden', ...tokens, access_token: `${ACCESS} x` })).toBe(400);
    expect(await send({ subdomain: 'hidden', ...tokens, expires_at: ACCESS })).toBe(400);
    await app.close();
    const dump = await api.owner.query(sql`
      select query_to_xml(format('select * from %I.%I', table_schema, table_name), true, true, '')::text as rows
      from information_schema.tables
      where table_schema in ('public', 'private') and table_type = 'BASE TABLE'`);
    for (const text of [...texts, ...lines, ...dump.map((row) => row['rows'] ?? '')]) {
      expect(text).not.toContain(ACCESS);
      expect(text).not.toContain(REFRESH);
    }
    const published = await api.owner.query(
      sql`select tablename from pg_publication_tables where schemaname = 'private'`,
    );
    expect(published).toEqual([]);
  });

  test('is made once for each Kommo account, and goes on with new tokens', async () => {
    const body = { subdomain: 'Again', access_token: 'first' };
    const first = await ask('POST', PATH, body);
    const { id } = first.body.data;
    expect(first.body.data.subdomain).toBe('again');
    expect(first.headers['location']).toBe(`${PATH}/${id}`);
    await api.owner.query(sql`
      update public.kommo_connections set status = 'needs_reauth', status_reason = 'x' where id = ${id}`);
    const second = await ask('POST', PATH, { ...body, access_token: 'second' });
    expect(second.status).toBe(200);
    expect(second.body.data).toMatchObject({ id, status: 'connected' });
    expect(second.body.data.status_reason).toBeUndefined();
    expect(await tokensOf(id)).toEqual({ accessToken: 'second', refreshToken: undefined });
    const other = await ask('POST', PATH, body, stranger);
    expect(other.status).toBe(201);
  });

  test('needs the permission integrations and is not of another account', async () => {
    const id = await connect();
    const token = await api.tokenOf(admin, ['settings']);
    for (const [method, path] of [
      ['GET', PATH],
      ['GET', `${PATH}/${id}`],
      ['DELETE', `${PATH}/${id}`],
      ['POST', `${PATH}/${id}/disconnect`],
      ['POST', `${PATH}/${id}/full-sync`],
      ['POST', `${PATH}/${id}/cancel`],
      ['GET', `${PATH}/${id}/pipelines`],
    ] as const) {
      expect((await ask(method, path, undefined, { token })).status).toBe(403);
      if (path === PATH) continue;
      expect([path, (await ask(method, path, undefined, stranger)).status]).toEqual([path, 404]);
    }
    const choice = { connected_ids: [] };
    const foreign = await ask('PUT', `${PATH}/${id}/pipelines`, choice, stranger);
    expect(foreign.status).toBe(404);
    const list = await ask('GET', PATH, undefined, stranger);
    expect(list.body.data.map((row: { id: number }) => row.id)).not.toContain(id);
    expect(await tokensOf(id)).toBeDefined();
  });

  test('that is disconnected has no tokens, says so, and is connected again', async () => {
    const id = await connect();
    await ask('POST', `${PATH}/${id}/full-sync`);
    const answer = await ask('POST', `${PATH}/${id}/disconnect`);
    expect(answer.body.data).toMatchObject({
      status: 'disconnected',
      full_sync_state: 'cancelled',
    });
    expect(answer.body.data.status_reason).toContain('tokens are deleted');
    expect(await tokensOf(id)).toBeUndefined();
    expect((await ask('POST', `${PATH}/${id}/disconnect`)).body).toEqual(answer.body);
    expect((await ask('POST', `${PATH}/${id}/full-sync`)).status).toBe(409);
    const list = await ask('GET', `${PATH}?status=disconnected`);
    expect(list.body.data.map((row: { id: number }) => row.id)).toContain(id);
    const { subdomain } = answer.body.data;
    const again = await ask('POST', PATH, { subdomain, access_token: ACCESS });
    // What disconnecting has broken off begins again; what people gave up before does not.
    expect(again.body.data).toMatchObject({ id, status: 'connected', full_sync_state: 'pending' });
    await ask('POST', `${PATH}/${id}/cancel`);
    const once = await ask('POST', PATH, { subdomain, access_token: ACCESS });
    expect(once.body.data).toMatchObject({ full_sync_state: 'cancelled' });
  });

  test('is deleted with its tokens and pipelines', async () => {
    const id = await connect();
    const seen = await ask('GET', `${PATH}/${id}`);
    expect((await ask('DELETE', `${PATH}/${id}`)).body).toEqual(seen.body);
    expect(await tokensOf(id)).toBeUndefined();
    expect((await ask('GET', `${PATH}/${id}`)).status).toBe(404);
  });
});

describe('a full sync', () => {
  test('waits for the worker, and is given up', async () => {
    const id = await connect();
    await api.owner.query(sql`
      update public.kommo_connections set full_sync_state = 'done', full_sync_done = 9, full_sync_total = 9
      where id = ${id}`);
    const asked = await ask('POST', `${PATH}/${id}/full-sync`);
    expect(asked.status).toBe(202);
    expect(asked.body.data).toMatchObject({ full_sync_state: 'pending', full_sync_done: 0 });
    expect(asked.body.data.full_sync_total).toBeUndefined();
    expect((await ask('POST', `${PATH}/${id}/full-sync`)).body).toEqual(asked.body);
    const cancelled = await ask('POST', `${PATH}/${id}/cancel`);
    expect(cancelled.body.data.full_sync_state).toBe('cancelled');
    expect((await ask('POST', `${PATH}/${id}/cancel`)).status).toBe(409);
  });

  test('that runs is not begun again, but can be given up', async () => {
    const id = await connect();
    await api.owner.query(
      sql`update public.kommo_connections set full_sync_state = 'running' where id = ${id}`,
    );
    expect((await ask('POST', `${PATH}/${id}/full-sync`)).status).toBe(409);
    expect((await ask('POST', `${PATH}/${id}/cancel`)).status).toBe(200);
  });
});

test('pipelines of a Kommo account are chosen among those that are known', async () => {
  const id = await connect();
  const other = await connect();
  const rows = await api.owner.query(sql`
    insert into public.kommo_pipelines (account_id, connection_id, kommo_id, name, is_connected)
    values (${admin.accountId}, ${id}, 1, 'A', true), (${admin.accountId}, ${id}, 2, 'B', false),
      (${admin.accountId}, ${other}, 1, 'Of the other', true)
    returning id`);
  const [a, b, foreign] = rows.map((row) => Number(row['id']));
  const path = `${PATH}/${id}/pipelines`;
  const list = await ask('GET', path);
  expect(list.body.data).toMatchObject([
    { id: a, name: 'A', is_connected: true },
    { id: b, name: 'B', is_connected: false },
  ]);
  const chosen = await ask('PUT', path, { connected_ids: [b] });
  expect(chosen.status).toBe(200);
  expect(chosen.body.data).toMatchObject([{ is_connected: false }, { is_connected: true }]);
  expect((await ask('GET', path)).body).toEqual(chosen.body);
  const refused = await ask('PUT', path, { connected_ids: [a, foreign] });
  expect(refused.status).toBe(422);
  expect(refused.body.details.ids).toEqual([foreign]);
  expect((await ask('GET', path)).body).toEqual(chosen.body);
  expect((await ask('GET', `${PATH}/${other}/pipelines`)).body.data).toMatchObject([
    { is_connected: true },
  ]);
});
