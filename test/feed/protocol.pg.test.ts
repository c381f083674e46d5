import { request } from 'node:http';
import { WebSocket } from 'ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLIENT_FRAME_BYTES_MAX, SUBSCRIPTIONS_MAX } from '../../domain/feed-protocol.ts';
import { startFeedServer } from '../../replicator/feed/feed-server.ts';
import { Hub } from '../../replicator/feed/hub.ts';
import { eventually } from '../support/eventually.ts';
import { changeOf, commitOf, FeedClient, log, markerOf, tag } from './support.ts';
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
      (await import('../../platform/sql.ts')).sql`update public.sessions set revoked_at = now() where id = ${who.sessionId}`,
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
      expect(await client.closeCode(), text.slice(0, 60)).toBe(4400);
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
    for (let i = 0; i < 400 && client.socket.readyState === WebSocket.OPEN; i++) client.send({ type: 'ping' });
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

describe('subscriptions', () => {
  it('[F6] sends the commits of the tables named, whole, with their origin', async () => {
    const accountId = await world.account('commits');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('mine', [{ table: 'tags' }]);
    const origin = '{"source":"api","operation_id":"op-1"}';
    const insert = changeOf('insert', 'tags', tag(accountId, 1, 'näme "x" 👩‍💻'));
    const other = changeOf('insert', 'pipelines', { ...tag(accountId, 9, 'p'), position: '1', is_default: 'f' });
    const commitLsn = nextLsn();
    await world.publish([commitOf(accountId, commitLsn, [insert, other, markerOf('bulk', 'tags')], { origin })]);
    const commit = await client.next('commit');
    expect(commit).toMatchObject({ ids: ['mine'], part: 0, last: true, xid: commitLsn });
    expect(commit.cursor).toBe(world.hub.cursorAt(BigInt(commitLsn) as never));
    expect(commit.origin).toEqual({ source: 'api', operation_id: 'op-1' });
    expect(commit.changes.map((change) => change.op)).toEqual(['insert', 'bulk']);
    expect(commit.changes[0]).toMatchObject({ row: { name: 'näme "x" 👩‍💻', id: 1 }, key: { id: 1 } });
    expect(client.texts.some((text) => text.includes(insert.json))).toBe(true);
  });

  it('[F6] says why a subscription cannot be had, and leaves the socket open', async () => {
    const client = await world.member(await world.login(await world.account('refusals')));
    const attempts = [
      { id: 'a', tables: [{ table: 'nothing' }] },
      { id: 'b', tables: [{ table: 'users' }] },
      { id: 'c', tables: [{ table: 'tags', where: { name: 'x' } }] },
      { id: 'd', tables: [{ table: 'leads', where: { stage_id: 'one' } }] },
      { id: 'e', tables: [{ table: 'tags' }, { table: 'tags' }] },
      { id: 'f', tables: [{ table: 'tags' }], since: 'yesterday' },
    ];
    for (const attempt of attempts) {
      client.send({ type: 'subscribe', ...attempt });
      expect(await client.next('error')).toMatchObject({ id: attempt.id, code: 'invalid_request' });
    }
    await client.subscribe('good', [{ table: 'tags' }]);
    client.send({ type: 'subscribe', id: 'good', tables: [{ table: 'tags' }] });
    expect(await client.next('error')).toMatchObject({ id: 'good', code: 'conflict' });
    await client.settled();
  });

  it('[F6] encodes a frame once however many sockets get it', async () => {
    const accountId = await world.account('once');
    const who = await world.login(accountId);
    const clients = await Promise.all(Array.from({ length: 5 }, () => world.member(who)));
    for (const client of clients) await client.subscribe('same', [{ table: 'tags' }]);
    const before = (await world.metrics.feedEncodings.get()).values[0]?.value ?? 0;
    await world.publish([commitOf(accountId, nextLsn(), [changeOf('insert', 'tags', tag(accountId, 1, 'a'))])]);
    for (const client of clients) await client.next('commit');
    expect(((await world.metrics.feedEncodings.get()).values[0]?.value ?? 0) - before).toBe(1);
  });

  it('[F7] ends a subscription on request, at once', async () => {
    const accountId = await world.account('ended');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('one', [{ table: 'tags' }]);
    client.send({ type: 'unsubscribe', id: 'one' });
    await client.next('unsubscribed');
    await world.publish([commitOf(accountId, nextLsn(), [changeOf('insert', 'tags', tag(accountId, 1, 'a'))])]);
    await client.settled();
    expect(client.all('commit')).toEqual([]);
    client.send({ type: 'unsubscribe', id: 'one' });
    expect(await client.next('error')).toMatchObject({ code: 'not_found', id: 'one' });
  });

  it('[F8] sends a row that leaves a filter as a delete with its key only', async () => {
    const accountId = await world.account('leaves');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('column', [{ table: 'pipeline_stages', where: { pipeline_id: 1 } }]);
    const stage = (pipeline: string) => ({
      ...tag(accountId, 7, 'stage'),
      pipeline_id: pipeline,
      type: 'active',
      position: '1',
    });
    const commits = [
      commitOf(accountId, nextLsn(), [changeOf('insert', 'pipeline_stages', stage('2'))]),
      commitOf(accountId, nextLsn(), [changeOf('update', 'pipeline_stages', stage('1'), { pipeline_id: '2' })]),
      commitOf(accountId, nextLsn(), [changeOf('update', 'pipeline_stages', stage('2'), { pipeline_id: '1' })]),
      commitOf(accountId, nextLsn(), [changeOf('update', 'pipeline_stages', stage('2'))]),
    ];
    await world.publish(commits);
    const enters = await client.next('commit');
    expect(enters.changes[0]).toMatchObject({ op: 'update', row: { pipeline_id: 1 } });
    const leaves = await client.next('commit');
    expect(leaves.changes).toEqual([{ table: 'pipeline_stages', op: 'delete', key: { id: 7 } }]);
    await client.settled();
    expect(client.all('commit').length).toBe(2);
  });

  it('[F9] cuts a large commit into parts that come one after the other', async () => {
    const accountId = await world.account('parts');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('big', [{ table: 'tags' }]);
    const changes = Array.from({ length: 60 }, (_, i) => changeOf('insert', 'tags', tag(accountId, i, 'x'.repeat(10_000))));
    const commits = [commitOf(accountId, nextLsn(), changes), commitOf(accountId, nextLsn(), changes.slice(0, 1))];
    await world.publish(commits);
    const parts = await eventually(() => client.all('commit').length === 4 && client.all('commit'));
    expect(parts.map(({ part, last }) => [part, last])).toEqual([[0, false], [1, false], [2, true], [0, true]]);
    expect(parts.slice(0, 3).flatMap(({ changes: all }) => all.map(({ key }) => key['id']))).toEqual(
      changes.map((_, i) => i),
    );
    expect(Math.max(...client.texts.map((text) => text.length))).toBeLessThan(300 * 1024);
  });

  it('[F9] sends a commit that is too large for one turn from the log, whole and in order', async () => {
    const accountId = await world.account('huge');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('huge', [{ table: 'tags' }]);
    const changes = Array.from({ length: 900 }, (_, i) => changeOf('insert', 'tags', tag(accountId, i, 'x'.repeat(10_000))));
    const small = (id: number) => changeOf('insert', 'tags', tag(accountId, id, 'small'));
    await world.publish([commitOf(accountId, nextLsn(), [small(-1)]), commitOf(accountId, nextLsn(), changes)]);
    await world.publish([commitOf(accountId, nextLsn(), [small(-2)])]);
    const ids = await eventually(() => {
      const all = client.all('commit').flatMap((commit) => commit.changes.map(({ key }) => key['id']));
      return all.includes(-2) && all;
    });
    expect(ids).toEqual([-1, ...changes.map((_, i) => i), -2]);
    expect(client.all('subscribed').length).toBe(1);
    expect(client.closed).toBeUndefined();
  });
});

describe('two accounts', () => {
  it('[F10] never sends a byte of one account to another', async () => {
    const [one, two] = [await world.account('one'), await world.account('two')];
    const clients = [await world.member(await world.login(one)), await world.member(await world.login(two))] as const;
    for (const client of clients) await client.subscribe('same', [{ table: 'tags' }, { table: 'accounts' }]);
    const commits = [one, two, one, two].map((accountId, i) =>
      commitOf(accountId, nextLsn(), [changeOf('insert', 'tags', tag(accountId, i, `secret-of-${accountId}`))], {
        signals: [JSON.stringify({ account_id: accountId, kind: 'typing', text: `secret-of-${accountId}` })],
      }),
    );
    await world.publish(commits);
    for (const [client, accountId, other] of [
      [clients[0], one, two],
      [clients[1], two, one],
    ] as const) {
      await client.settled();
      const text = client.texts.join('\n');
      expect(text).toContain(`"secret-of-${accountId}"`);
      expect(text).not.toContain(`secret-of-${other}"`);
      expect(client.all('commit').length).toBe(2);
      expect(client.all('signal').length).toBe(2);
    }
  });
});

describe('heartbeats and status', () => {
  it('[F11] tells every socket how far it has been served', async () => {
    const client = await world.member(await world.login(await world.account('beats')));
    const position = nextLsn();
    world.hub.heartbeat(BigInt(position) as never);
    const beat = await client.next('heartbeat');
    expect(beat.cursor).toBe(world.hub.cursorAt(BigInt(position - 1) as never));
  });

  it('[F12] answers health, metrics and nothing else', async () => {
    expect((await get(world.port, '/health/live')).status).toBe(200);
    expect(await get(world.port, '/health/ready')).toEqual({ status: 200, body: '{"status":"green","checks":[]}' });
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
