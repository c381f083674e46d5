import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKommoHttp, type HttpLimits, type KommoHttp } from '../../server/kommo/http.ts';

const NEVER = new AbortController().signal;
let server: Server;
let url: string;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const seen: IncomingMessage[] = [];
let sockets = 0;
let closing: KommoHttp[] = [];

beforeEach(async () => {
  seen.length = 0;
  sockets = 0;
  server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  server.on('connection', () => (sockets += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/acme`;
});
afterEach(async () => {
  for (const http of closing) await http.close();
  closing = [];
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const open = (limits: HttpLimits = {}): KommoHttp => {
  const http = createKommoHttp(limits);
  closing.push(http);
  return http;
};
const get = (http: KommoHttp, more: Partial<Parameters<KommoHttp['send']>[0]> = {}) =>
  http.send({ method: 'GET', url, headers: {}, startByMs: Infinity, signal: NEVER, ...more });

describe('a request to Kommo', () => {
  it('says who asks and what it takes, and has the answer with its headers', async () => {
    answer = (_request, response) =>
      response.writeHead(418, { 'X-Request-Id': 'abc', 'set-cookie': ['a', 'b'] }).end('{"a":"ñ"}');
    const result = await get(open(), {
      url: `${url}/api?filter%5Bid%5D%5B%5D=1`,
      headers: { authorization: 'Bearer x' },
    });
    expect(result).toMatchObject({
      kind: 'answered',
      answer: {
        status: 418,
        text: '{"a":"ñ"}',
        headers: { 'x-request-id': 'abc', 'set-cookie': 'a' },
      },
    });
    expect(seen[0]).toMatchObject({ method: 'GET', url: '/acme/api?filter%5Bid%5D%5B%5D=1' });
    expect(seen[0]?.headers).toMatchObject({
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'Clarin',
      authorization: 'Bearer x',
    });
  });

  it('uses the connection of the one before', async () => {
    answer = (_request, response) => response.end('{}');
    const http = open();
    for (let number = 0; number < 5; number++) {
      await get(http);
      // A connection is free again a moment after its answer; requests are further apart than that.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([seen.length, sockets]).toEqual([5, 1]);
  });

  it('carries a body, and follows no redirect', async () => {
    answer = (request, response) => {
      request.on('data', (chunk) => response.setHeader('x-body', String(chunk)));
      request.on('end', () => response.writeHead(302, { location: '/elsewhere' }).end());
    };
    const body = '{"grant_type":"refresh_token"}';
    const headers = { 'content-type': 'application/json' };
    const result = await get(open(), { method: 'POST', body, headers });
    expect(result).toMatchObject({ answer: { status: 302, headers: { 'x-body': body } } });
    expect(seen).toHaveLength(1);
  });

  it('passes over interim answers', async () => {
    answer = (_request, response) => {
      response.writeProcessing();
      response.end('{}');
    };
    expect(await get(open())).toMatchObject({ answer: { status: 200, text: '{}' } });
  });

  it('does not leave when its moment is over, and the connection that was made for it is used by the next', async () => {
    answer = (_request, response) => response.end('{}');
    const http = open();
    expect(await get(http, { startByMs: http.now() - 1 })).toEqual({ kind: 'late' });
    expect([seen.length, sockets]).toEqual([0, 1]);
    expect(await get(http)).toMatchObject({ kind: 'answered' });
    expect([seen.length, sockets]).toEqual([1, 1]);
  });
});

describe('a request to Kommo is broken off', () => {
  it('when no answer begins in time, or none ends', async () => {
    answer = () => undefined;
    expect(await get(open({ headersTimeoutMs: 100 }))).toMatchObject({ kind: 'broken' });
    expect(await get(open({ totalTimeoutMs: 100 }))).toEqual({ kind: 'broken', code: 'TIMEOUT' });
    answer = (_request, response) => void response.write('{');
    expect(await get(open({ totalTimeoutMs: 100 }))).toEqual({ kind: 'broken', code: 'TIMEOUT' });
  });

  it('when the other side is not there, goes away, or speaks something else', async () => {
    const http = open();
    answer = (request) => void request.socket.resetAndDestroy();
    expect(await get(http)).toMatchObject({ kind: 'broken' });
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"half":');
      setImmediate(() => response.destroy());
    };
    expect(await get(http)).toMatchObject({ kind: 'broken' });
    answer = (request) => void request.socket.end('not http at all\r\n\r\n');
    expect(await get(http)).toMatchObject({ kind: 'broken' });
    const nowhere = await get(http, { url: 'http://127.0.0.1:1/' });
    expect(nowhere).toEqual({ kind: 'broken', code: 'ECONNREFUSED' });
  });

  it('when the body is larger than it may be, whether it says so or not', async () => {
    const http = open({ bodyBytesMax: 1_000 });
    const tooLarge = { kind: 'broken', code: 'BODY_TOO_LARGE' };
    answer = (_request, response) => response.end('x'.repeat(1_001));
    expect(await get(http)).toEqual(tooLarge);
    let isClosed = false;
    answer = (request, response) => {
      request.socket.on('close', () => (isClosed = true));
      const write = (): void => {
        if (response.destroyed) return;
        response.write('x'.repeat(400));
        setImmediate(write);
      };
      write();
    };
    expect(await get(http)).toEqual(tooLarge);
    await expect.poll(() => isClosed).toBe(true);
    answer = (_request, response) => response.end('x'.repeat(1_000));
    expect(await get(http)).toMatchObject({ kind: 'answered' });
  });

  it('when the caller stops, before it left or while it is under way', async () => {
    const http = open();
    const stopping = new AbortController();
    const asked = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const going = get(http, { signal: stopping.signal });
    await asked;
    stopping.abort(new Error('stop'));
    await expect(going).rejects.toThrow('stop');
    await expect(get(http, { signal: stopping.signal })).rejects.toThrow('stop');
    expect(seen).toHaveLength(1);
  });

  it('when it is closed', async () => {
    const http = createKommoHttp();
    const asked = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const going = get(http);
    await asked;
    await http.close();
    expect(await going).toMatchObject({ kind: 'broken' });
    expect(await get(http)).toMatchObject({ kind: 'broken' });
  });
});
