import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { pino } from 'pino';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_INTEGRATION } from '../../fakes/kommo/oauth.ts';
import { exchangeCode } from '../../server/kommo/oauth.ts';
import {
  failure,
  openKommoTestWorld,
  type Connection,
  type KommoTestWorld,
  type Talker,
} from './kommo-means.ts';

const ACCESS = 'access-token-that-nobody-may-see';
const REFRESH = 'refresh-token-that-nobody-may-see';
const GIVEN = 'given-token-that-nobody-may-see';
const CODE = 'code-that-nobody-may-see';
const SECRET = 'client-secret-that-nobody-may-see';
const HIDDEN = /that-nobody-may-see/;

/** A server that says everything it hears, wherever it can. */
type Echo = { api: Say; oauth: Say };
type Say = (heard: string) => {
  status?: number;
  body?: unknown;
  text?: string;
  raw?: string;
  headers?: Record<string, string>;
};
let echo: Echo;
let server: Server;
let world: KommoTestWorld;
let talker: Talker;
let connection: Connection;

beforeAll(async () => {
  world = await openKommoTestWorld();
  server = createServer((request, response) => {
    const chunks: string[] = [];
    request.on('data', (chunk) => chunks.push(String(chunk)));
    request.on('end', () => {
      const say = request.url?.includes('/oauth2/') ? echo.oauth : echo.api;
      const { status = 200, body, text, raw, headers } = say(heardOf(request, chunks.join('')));
      if (raw !== undefined) return void request.socket.end(raw);
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(text ?? JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/{subdomain}`;
  const integration = { ...DEFAULT_INTEGRATION, clientSecret: SECRET };
  talker = world.talker({ config: { url, integration, requestsPerSecond: 500 } });
  connection = await world.connect('echo', { accessToken: ACCESS, refreshToken: REFRESH });
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function heardOf({ headers, url }: IncomingMessage, body: string): string {
  return `${headers.authorization ?? ''} ${String(headers['x-refresh-token'] ?? '')} ${body} ${url ?? ''}`;
}

/** Everything that could be printed of an error, by whoever prints it. */
function printed(error: unknown): string {
  const lines: string[] = [];
  const sink = new Writable({
    write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()),
  });
  pino({ level: 'trace', errorKey: 'error' }, sink).error({ error, deep: { error } }, 'failed');
  return [
    ...lines,
    inspect(error, { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null }),
    JSON.stringify(error),
    String(error),
    error instanceof Error ? error.stack : '',
  ].join('\n');
}

const problem =
  (status: number): Say =>
  (heard) => ({
    status,
    body: { title: heard, detail: heard, hint: heard, 'validation-errors': [{ detail: heard }] },
    headers: { 'x-request-id': heard.replace(/[^ -~]/g, ''), 'retry-after': '1' },
  });
const page: Say = (heard) => ({ status: 500, text: `<html>${heard}</html>` });
const RAW: Say = (heard) => ({ raw: `HTTP/1.1 200 OK\r\nBad header ${heard}\r\n\r\n${heard}` });
const CUT: Say = (heard) => ({ raw: `HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"${heard}` });
const NO_ROWS: Say = (heard) => ({
  body: { _embedded: { leads: [{ id: heard, [heard]: heard }] } },
});
const TOKENS: Say = () => ({
  body: { access_token: GIVEN, refresh_token: `${GIVEN}-2`, expires_in: 86_400 },
});
const NO_TOKENS: Say = () => ({
  body: { access_token: GIVEN, expires_in: 'x', refresh_token: GIVEN },
});

const API: [string, Say][] = [
  ...[400, 402, 403, 404, 405, 422, 500, 504].map((status): [string, Say] => [
    String(status),
    problem(status),
  ]),
  ['a page', page],
  ['no HTTP', RAW],
  ['a body that is cut', CUT],
  ['rows that are none', NO_ROWS],
];
const OAUTH: [string, Say][] = [
  ...[400, 401, 402, 403, 404, 422, 500].map((status): [string, Say] => [
    String(status),
    problem(status),
  ]),
  ['a page', page],
  ['no HTTP', RAW],
  ['a body that is cut', CUT],
  ['tokens that are none', NO_TOKENS],
  ['tokens', TOKENS],
];

describe('a server that repeats what it hears makes nobody say a token', () => {
  const check = async (call: () => Promise<unknown>): Promise<void> => {
    const error = await failure(call());
    expect(error).toBeInstanceOf(Error);
    expect(printed(error)).not.toMatch(HIDDEN);
    expect(world.lines.join('')).not.toMatch(HIDDEN);
  };

  test.each(API)('with %s', async (_name, api) => {
    echo = { api, oauth: problem(401) };
    const client = talker.client(connection);
    await check(() => client.leads({}, 'poll'));
    await check(() => client.lead(1, 'hint'));
    await check(() => client.leads({ filter: { ids: [1, 2] } }, 'hint'));
  });

  test.each(OAUTH)('where tokens are given, with %s', async (_name, oauth) => {
    echo = { api: problem(401), oauth };
    const fresh = await world.connect(`echo-${_name.replaceAll(' ', '-').toLowerCase()}`, {
      accessToken: ACCESS,
      refreshToken: REFRESH,
    });
    await check(() => talker.client(fresh).leads({}, 'poll'));
    const exchange = { subdomain: 'echo', code: CODE, signal: new AbortController().signal };
    if (oauth !== TOKENS) await check(() => exchangeCode(talker.means, exchange));
  });

  test.each([429, 403])('when it asks for rest with %d', async (status) => {
    const say: Say = (heard) => ({ ...problem(status)(heard), text: `<html>${heard}</html>` });
    echo = { api: say, oauth: say };
    const { url } = talker.means.config;
    const by = world.talker({ config: { url, egress: `echo-${status}` } });
    await check(() => by.client(connection).leads({}, 'poll'));
  });
});

test('what is logged says what is known besides', () => {
  const text = world.lines.join('');
  expect(text).toContain('Kommo did not take a request of ours');
  expect(text).toContain('[secret]');
});
