import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KommoClient } from '../../server/kommo/client.ts';
import { failure, openKommoTestWorld, type KommoTestWorld } from './kommo-means.ts';

/** Answers that neither Kommo nor the fake is known to give. */
let world: KommoTestWorld;
let server: Server;
let client: KommoClient;
let asked: URL[] = [];
let say: (url: URL) => { body?: unknown; raw?: string };

beforeAll(async () => {
  world = await openKommoTestWorld();
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    asked.push(url);
    const { body, raw } = say(url);
    if (raw !== undefined) return void request.socket.end(raw);
    response.writeHead(200, { 'content-type': 'application/hal+json' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/{subdomain}`;
  const talker = world.talker({ config: { url, requestsPerSecond: 500 } });
  const tokens = { accessToken: 'long-lived', refreshToken: undefined };
  client = talker.client(await world.connect('odd', tokens));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const tag = (id: number, more = {}) => ({ id, name: `tag ${id}`, color: null, ...more });
const page = (tags: unknown[]) => ({ _page: 1, _embedded: { tags } });

test('a page with one row that is not what it should be is no page at all', async () => {
  for (const wrong of [{ id: 2 }, { id: '2', name: 'x' }, { id: 2, name: null }, null, []]) {
    asked = [];
    say = () => ({ body: page([tag(1), wrong, tag(3)]) });
    const error = await failure(client.tags('leads', 'poll'));
    expect(error).toMatchObject({ kind: 'malformed', status: 200 });
    expect(error.message).toContain('_embedded.tags.1');
    expect(asked).toHaveLength(4);
  }
});

test('a body without the list is no empty list', async () => {
  for (const body of [
    {},
    [],
    'x',
    null,
    { _embedded: {} },
    { _embedded: { leads: [] } },
    { tags: [] },
  ]) {
    say = () => ({ body });
    expect(await failure(client.tags('leads', 'poll'))).toMatchObject({ kind: 'malformed' });
  }
  say = () => ({ body: page([]) });
  expect(await client.tags('leads', 'poll')).toEqual([]);
});

test('an answer that does not tell its time is none', async () => {
  const text = JSON.stringify(page([]));
  say = () => ({ raw: `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}` });
  expect(await failure(client.tags('leads', 'poll'))).toMatchObject({ kind: 'malformed' });
});

test('a list whose server does not know pages ends', async () => {
  asked = [];
  const tags = Array.from({ length: 250 }, (_, number) => tag(number + 1));
  say = () => ({ body: page(tags) });
  expect(await client.tags('leads', 'poll')).toHaveLength(250);
  expect(asked).toHaveLength(2);
});

test('a list whose server takes another limit than ours is read to its end', async () => {
  asked = [];
  say = (url) => {
    const from = 50 * (Number(url.searchParams.get('page')) - 1);
    const ids = Array.from({ length: 50 }, (_, number) => from + number + 1).filter(
      (id) => id <= 130,
    );
    const next = ids.length === 50 ? { next: { href: 'x' } } : {};
    return { body: { _links: next, ...page(ids.map((id) => tag(id))) } };
  };
  expect(await client.tags('leads', 'poll')).toHaveLength(130);
  expect(asked).toHaveLength(3);
});
