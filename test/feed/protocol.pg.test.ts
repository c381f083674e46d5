import { request } from 'node:http';
import { WebSocket } from 'ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLIENT_FRAME_BYTES_MAX, SUBSCRIPTIONS_MAX } from '../../domain/feed-protocol.ts';
import { sql } from '../../platform/sql.ts';
import { startFeedServer } from '../../replicator/feed/feed-server.ts';
import { Hub } from '../../replicator/feed/hub.ts';
import { eventually } from '../support/eventually.ts';
import { FeedClient, log, lsn } from './support.ts';
import { openFeedWorld, SECRET, type FeedWorld } from './world.ts';

let world: FeedWorld;
let at = 2_000;
const nextLsn = (): number => (at += 16);

beforeAll(async () => {
  world = await openFeedWorld();
});
afterAll(() => world.close());

function get(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', path }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('error', reject);
    call.end();
  });
}

describe('hello', () => {
  it('[F1] answers hello with a welcome that names account, version and cursor', async () => {
    const who = await world.login(await world.account('hello'));
    const client = world.client();
    const welcome = await client.hello(await who.token());
    expect(welcome).toMatchObject({ version: 1, account_id: who.accountId, heartbeat_ms: 1_000 });
    expect(welcome.cursor).toMatch(/^[a-z0-9]+\.[0-9A-F]+\/[0-9A-F]+$/);
  });

  it('[F1] takes requests that were sent together with hello', async () => {
    const who = await world.login(await world.account('pipelined'));
    const client = await world.client().opened();
    client.send({ type: 'hello', version: 1, token: await who.token() });
    client.send({ type: 'subscribe', id: 'tags', tables: [{ table: 'tags' }] });
    client.send({ type: 'ping' });
    await client.next('pong');
    expect(client.messages.map((message) => message.type).slice(0, 1)).toEqual(['welcome']);
    expect((await eventually(() => client.all('subscribed')[0])).id).toBe('tags');
  });

  it('[F2] closes with 4401 a socket that says nothing', async () => {
    const client = await world.client().opened();
    expect(await client.closeCode()).toBe(4401);
    expect(client.all('error')[0]).toMatchObject({ code: 'unauthenticated' });
  });

  it('[F2] closes with 4401 a socket whose token is forged, expired or without a session', async () => {
    const who = await world.login(await world.account('forged'));
    const token = await who.token();
    const forged = `${token.slice(0, -4)}AAAA`;
    const expired = await who.token(-10);
    await world.db.query(
      sql`update public.sessions set revoked_at = now() where id = ${who.sessionId}`,
    );
    for (const bad of ['nonsense', forged, expired, token]) {
      const client = await world.client().opened();
      client.send({ type: 'hello', version: 1, token: bad });
      expect(await client.closeCode()).toBe(4401);
      expect(client.all('welcome')).toEqual([]);
    }
  });

  it('[F3] closes with 4400 and a sentence whatever is not a message of the protocol', async () => {
    const bad = [
      'not json',
      '[]',
      '{"type":"subscribe","id":"x","tables":[{"table":"tags"}]}',
      '{"type":"shout"}',
      '{"type":"hello","version":2,"token":"x"}',
      '{"type":"hello","version":1,"token":"x","extra":true}',
      'x'.repeat(CLIENT_FRAME_BYTES_MAX + 1),
    ];
    for (const text of bad) {
      const client = await world.client().opened();
      client.send(text);
      expect([text.slice(0, 60), await client.closeCode()]).toEqual([text.slice(0, 60), 4400]);
      expect(client.all('error')[0]?.message.length).toBeGreaterThan(10);
    }
    const binary = await world.client().opened();
    binary.socket.send(Buffer.from('{"type":"ping"}'), { binary: true });
    expect(await binary.closeCode()).toBe(4400);
  });

  it('[F3] cuts off a frame far beyond the limit', async () => {
    const client = await world.client().opened();
    client.send('x'.repeat(CLIENT_FRAME_BYTES_MAX * 8));
    expect([1006, 1009]).toContain(await client.closeCode());
  });
});

describe('limits', () => {
  it('[F4] closes with 4429 who sends too fast', async () => {
    const client = await world.member(await world.login(await world.account('fast')));
    for (let i = 0; i < 400 && client.socket.readyState === WebSocket.OPEN; i++)
      client.send({ type: 'ping' });
    expect(await client.closeCode()).toBe(4429);
  });

  it('[F4] closes with 4429 who holds too many subscriptions', async () => {
    const client = await world.member(await world.login(await world.account('many')));
    for (let i = 0; i <= SUBSCRIPTIONS_MAX; i++) {
      client.send({ type: 'subscribe', id: `s${i}`, tables: [{ table: 'tags' }] });
    }
    expect(await client.closeCode()).toBe(4429);
    expect(client.all('subscribed').length).toBe(SUBSCRIPTIONS_MAX);
  });

  it('[F4] refuses sockets beyond the limits before it opens them', async () => {
    const { hub, metrics, accountLog, db } = world;
    const small = await startFeedServer({
      host: '127.0.0.1',
      port: 0,
      hub,
      database: db,
      accountLog,
      secret: SECRET,
      log,
      metrics,
      health: () => ({ status: 'green', checks: [] }),
      allowedOrigins: [],
      limits: { total: 10, perAddress: 2, unauthenticated: 2 },
    });
    const who = await world.login(await world.account('limits'));
    const first = new FeedClient(small.port);
    await first.hello(await who.token());
    const second = await new FeedClient(small.port).opened();
    const third = new FeedClient(small.port);
    expect(await eventually(() => third.refused)).toBe(429);
    second.close();
    const again = await eventually(async () => {
      const client = new FeedClient(small.port);
      await eventually(() => client.refused ?? client.socket.readyState === WebSocket.OPEN);
      return client.refused === undefined && client;
    });
    again.close();
    await small.stop();
    expect(await first.closeCode()).toBe(1012);
  });

  it('[F5] opens for pages of the allowed origins and for programs only', async () => {
    const { hub, metrics, accountLog, db } = world;
    const server = await startFeedServer({
      host: '127.0.0.1',
      port: 0,
      hub,
      database: db,
      accountLog,
      secret: SECRET,
      log,
      metrics,
      health: () => ({ status: 'green', checks: [] }),
      allowedOrigins: ['https://app.example.com'],
    });
    const other = new FeedClient(server.port, { origin: 'https://evil.example.com' });
    expect(await eventually(() => other.refused)).toBe(403);
    await new FeedClient(server.port, { origin: 'https://app.example.com' }).opened();
    await new FeedClient(server.port).opened();
    await server.stop();
  });
});

describe('heartbeats and status', () => {
  it('[F11] tells every socket how far it has been served', async () => {
    const client = await world.member(await world.login(await world.account('beats')));
    const position = nextLsn();
    world.hub.heartbeat(lsn(position));
    const beat = await client.next('heartbeat');
    expect(beat.cursor).toBe(world.hub.cursorAt(lsn(position - 1)));
  });

  it('[F12] answers health, metrics and nothing else', async () => {
    expect((await get(world.port, '/health/live')).status).toBe(200);
    expect(await get(world.port, '/health/ready')).toEqual({
      status: 200,
      body: '{"status":"green","checks":[]}',
    });
    const metrics = await get(world.port, '/metrics');
    expect(metrics.body).toContain('clarin_feed_sockets');
    expect(metrics.body).toContain('clarin_feed_slow_closes_total');
    expect((await get(world.port, '/feed')).status).toBe(404);
    expect((await get(world.port, '/other')).status).toBe(404);
  });

  it('[F12] names port and setting when it cannot listen', async () => {
    const options = {
      host: '127.0.0.1',
      port: world.port,
      hub: world.hub,
      database: world.db,
      accountLog: world.accountLog,
      secret: SECRET,
      log,
      metrics: world.metrics,
      health: () => ({ status: 'green' as const, checks: [] }),
      allowedOrigins: [],
    };
    await expect(startFeedServer(options)).rejects.toMatchObject({ code: 'configuration' });
    await expect(startFeedServer({ ...options, portSetting: 'GATEWAY_PORT' })).rejects.toThrow(
      new RegExp(`127\\.0\\.0\\.1:${world.port}.*GATEWAY_PORT`),
    );
  });

  it('[F13] refuses sockets with 503 while it serves no epoch, and closes those it has with 1012', async () => {
    const hub = new Hub({ metrics: world.metrics, log });
    const server = await startFeedServer({
      host: '127.0.0.1',
      port: 0,
      hub,
      database: world.db,
      accountLog: world.accountLog,
      secret: SECRET,
      log,
      metrics: world.metrics,
      health: () => ({ status: 'red', checks: [] }),
      allowedOrigins: [],
    });
    const early = new FeedClient(server.port);
    expect(await eventually(() => early.refused)).toBe(503);
    expect((await get(server.port, '/health/ready')).status).toBe(503);
    hub.openEpoch(world.mandate().epoch, world.hub.position);
    const client = new FeedClient(server.port);
    await client.hello(await (await world.login(await world.account('standby'))).token());
    hub.stepDown();
    expect(await client.closeCode()).toBe(1012);
    await server.stop();
  });
});
