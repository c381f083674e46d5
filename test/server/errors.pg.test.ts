import { once } from 'node:events';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { beforeAll, describe, expect, test } from 'vitest';
import { ClarinError } from '../../domain/errors.ts';
import { sql } from '../../platform/sql.ts';
import { buildApp } from '../../server/api/app.ts';
import { eventually } from '../support/services.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;

beforeAll(async () => {
  api = await startTestApi({ environment: { ALLOWED_ORIGINS: 'https://app.example' } });
  one = await api.account('one');
});

describe('refusals', () => {
  test('have one shape, whatever refuses', async () => {
    const answers = await Promise.all([
      api.ask(one, 'GET', '/api/no-such-route'),
      api.ask(one, 'GET', '/api//leads'),
      api.ask(one, 'DELETE', '/api/leads'),
      api.ask(one, 'GET', '/api/leads/%zz'),
      api.ask(one, 'GET', `/api/leads/${'1'.repeat(200)}`),
      api.ask(undefined, 'GET', '/api/leads'),
      api.ask(one, 'POST', '/api/tags', {
        body: '{"name":',
        headers: { 'content-type': 'application/json' },
      }),
      api.ask(one, 'POST', '/api/tags', {
        body: 'name=x',
        headers: { 'content-type': 'text/plain' },
      }),
      api.ask(one, 'POST', '/api/tags', { body: { name: 'x'.repeat(1024 * 1024) } }),
      api.ask(one, 'POST', '/api/tags', {
        body: '{"name":"x","__proto__":{}}',
        headers: { 'content-type': 'application/json' },
      }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([
      404, 404, 404, 400, 400, 401, 400, 400, 413, 400,
    ]);
    for (const { body, headers } of answers) {
      expect(
        Object.keys(body).filter((name) => !['error', 'code', 'details'].includes(name)),
      ).toEqual([]);
      expect(headers['x-request-id']).toBeDefined();
    }
  });

  test('name every field that is wrong', async () => {
    const { status, body } = await api.ask(one, 'POST', '/api/leads', {
      body: { title: '', value: -1, currency: 'dollar' },
    });
    expect(status).toBe(400);
    const fields = body.details.fields.map(({ field }: { field: string }) => field).toSorted();
    expect(fields).toEqual(['body.contact_id', 'body.currency', 'body.title', 'body.value']);
  });

  test('of ours say nothing of our insides, and are logged once with the request and without secrets', async () => {
    const lines: string[] = [];
    const sink = new Writable({
      write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()),
    });
    const log = pino({ level: 'info' }, sink);
    const { config, cache, metrics, media, database } = api;
    const broken = {
      ...database,
      query: () => Promise.reject(new Error('secret insides of ours')),
    };
    const app = await buildApp({ config, cache, media, metrics, log, database: broken });
    const answer = await app.inject({
      method: 'GET',
      url: '/api/leads',
      headers: { authorization: `Bearer ${one.token}`, 'x-request-id': 'req-1' },
    });
    await app.close();
    expect(answer.statusCode).toBe(500);
    expect(answer.json()).toEqual({
      error: 'internal error',
      code: 'internal',
      details: { request_id: 'req-1' },
    });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '{}')).toMatchObject({
      request: 'req-1',
      account: one.accountId,
      code: 'internal',
    });
    expect(lines[0]).not.toContain(one.token);
  });

  test('of a database that is away are 503 with Retry-After', async () => {
    const { config, cache, metrics, media, database, app: whole } = api;
    expect(whole).toBeDefined();
    const away = {
      ...database,
      query: () => Promise.reject(new ClarinError('unavailable', 'connect ECONNREFUSED 10.0.0.1')),
    };
    const app = await buildApp({
      config,
      cache,
      media,
      metrics,
      log: pino({ level: 'silent' }),
      database: away,
    });
    const answer = await app.inject({
      method: 'GET',
      url: '/api/leads',
      headers: { authorization: `Bearer ${one.token}` },
    });
    await app.close();
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.body).not.toContain('10.0.0.1');
  });
});

describe('requests', () => {
  test('keep a sane id of their caller and get one otherwise', async () => {
    const kept = await api.ask(one, 'GET', '/health/live', {
      headers: { 'x-request-id': 'abc-1.2:3' },
    });
    expect(kept.headers['x-request-id']).toBe('abc-1.2:3');
    const given = await api.ask(one, 'GET', '/health/live', { headers: { 'x-request-id': 'a b' } });
    expect(given.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('of allowed pages elsewhere are allowed, of others not', async () => {
    const preflight = (origin: string) =>
      api.ask(undefined, 'OPTIONS', '/api/leads', {
        headers: { origin, 'access-control-request-method': 'POST' },
      });
    const allowed = await preflight('https://app.example');
    expect(allowed.status).toBe(204);
    expect(allowed.headers['access-control-allow-origin']).toBe('https://app.example');
    const other = await preflight('https://other.example');
    expect(other.status).toBe(404);
    expect(other.headers['access-control-allow-origin']).toBeUndefined();
  });

  test('are limited per session, and say when to come back', async () => {
    const limited = await startTestApi({ environment: { RATE_LIMIT_PER_MINUTE: '5' } });
    const caller = await limited.account('limited');
    const other = { token: await limited.tokenOf(caller) };
    for (let i = 0; i < 5; i++)
      expect((await limited.ask(caller, 'GET', '/api/tags')).status).toBe(200);
    const refused = await limited.ask(caller, 'GET', '/api/tags');
    expect(refused.status).toBe(429);
    expect(refused.body.code).toBe('rate_limited');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await limited.ask(other, 'GET', '/api/tags')).status).toBe(200);
    for (let i = 0; i < 6; i++)
      await limited.ask(undefined, 'GET', '/nowhere', { remoteAddress: '10.1.1.1' });
    expect(
      (await limited.ask(undefined, 'GET', '/nowhere', { remoteAddress: '10.1.1.1' })).status,
    ).toBe(429);
  });

  test('a caller who hangs up cancels its statement', async () => {
    const url = new URL(await api.app.listen({ port: 0, host: '127.0.0.1' }));
    await api.owner.transaction(async (tx) => {
      await tx.query(sql`select id from public.tags where id = ${one.tagIds[0]} for update`);
      const socket = connect(Number(url.port), '127.0.0.1');
      await once(socket, 'connect');
      const body = '{"name":"never written"}';
      socket.write(
        `PATCH /api/tags/${one.tagIds[0]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${one.token}\r\n` +
          `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      const waiting = async (): Promise<number> => {
        const rows = await api.owner.query(sql`
          select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%update%tags%'
            and datname = current_database()`);
        return Number(rows[0]?.['n']);
      };
      await eventually(async () => expect(await waiting()).toBe(1), {
        says: 'the update waits for the lock',
      });
      socket.destroy();
      await eventually(async () => expect(await waiting()).toBe(0), {
        says: 'the update is cancelled, long before its lock timeout',
        timeoutMs: 3_000,
      });
    });
    const read = await api.ask(one, 'GET', `/api/tags/${one.tagIds[0]}`);
    expect(read.body.data.name).not.toBe('never written');
  });
});
