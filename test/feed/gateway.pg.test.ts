import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../platform/config.ts';
import type { Running } from '../../platform/lifecycle.ts';
import { startGateway } from '../../replicator/feed/gateway.ts';
import { sql } from '../../platform/sql.ts';
import { eventually, startRedis, type TestRedis } from '../support/services.ts';
import { changeOf, commitOf, FeedClient, log, lsn, tag } from './support.ts';
import { openFeedWorld, SECRET, type FeedWorld, type Login } from './world.ts';

let redis: TestRedis;
let world: FeedWorld;
let gateway: Running & { port: number };
let at = 2_000;
const nextLsn = (): number => (at += 16);

beforeAll(async () => {
  redis = await startRedis();
  world = await openFeedWorld({ redisUrl: redis.url });
  gateway = await startGateway(configOf(0), log, new AbortController().signal);
});
afterAll(async () => {
  await gateway.stop();
  await world.close();
  await redis.stop();
});

function configOf(port: number) {
  return readConfig({
    DATABASE_URL: world.database.ownerUrl,
    REDIS_URL: redis.url,
    CLARIN_SECRET: SECRET,
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    CLARIN_REDIS_PREFIX: world.space.prefix,
    GATEWAY_PORT: String(port),
    MEDIA_DIR: '/nonexistent',
  });
}

const TAGS = [{ table: 'tags' }];
const insert = (accountId: number, id: number) =>
  changeOf('insert', 'tags', tag(accountId, id, `tag ${id}`));
const publish = (accountId: number, id: number) =>
  world.publish([commitOf(accountId, nextLsn(), [insert(accountId, id)])]);
const idsOf = (client: FeedClient) =>
  client.all('commit').map(({ changes }) => changes[0]?.key['id']);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

async function member(who: Login): Promise<FeedClient> {
  const client = new FeedClient(gateway.port);
  await client.hello(await who.token());
  return client;
}

async function readiness(): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(
      { port: gateway.port, host: '127.0.0.1', path: '/health/ready' },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    call.on('error', reject);
    call.end();
  });
}

describe('a gateway', () => {
  it('[F27] serves the same bytes as the replicator, live and resumed', async () => {
    const accountId = await world.account('same');
    const who = await world.login(accountId);
    const [direct, relayed] = [await world.member(who), await member(who)];
    const { cursor } = await direct.subscribe('x', TAGS);
    await relayed.subscribe('x', TAGS);
    for (let id = 1; id <= 20; id++) await publish(accountId, id);
    await eventually(() => idsOf(relayed).length === 20);
    const late = await member(who);
    await late.subscribe('x', TAGS, cursor);
    const commits = (client: FeedClient) =>
      client.texts.filter((text) => text.startsWith('{"type":"commit"'));
    expect(commits(relayed)).toEqual(commits(direct));
    expect(commits(late)).toEqual(commits(direct));
  });

  it('[F27] misses nothing and repeats nothing when its channels are lost', async () => {
    const accountId = await world.account('channels');
    const client = await member(await world.login(accountId));
    await client.subscribe('x', TAGS);
    for (let id = 1; id <= 60; id++) {
      if (id % 20 === 0) await world.redis.client('KILL', 'TYPE', 'pubsub');
      await publish(accountId, id);
    }
    await eventually(() => idsOf(client).length >= 60);
    await client.settled();
    expect(idsOf(client)).toEqual(upTo(60));
    expect(client.closed).toBeUndefined();
  });

  it('[F27] misses nothing when an account opens twice at once', async () => {
    const accountId = await world.account('twice');
    const who = await world.login(accountId);
    let id = 0;
    let isOver = false;
    const writing = (async () => {
      while (!isOver) await publish(accountId, ++id);
    })();
    const clients = await Promise.all(Array.from({ length: 5 }, () => member(who)));
    const starts = await Promise.all(clients.map((client) => client.subscribe('x', TAGS)));
    const target = id + 30;
    await eventually(() => id > target);
    isOver = true;
    await writing;
    const direct = await world.member(who);
    for (const [index, client] of clients.entries()) {
      const whole = await world.member(who);
      await whole.subscribe('x', TAGS, starts[index]?.cursor);
      await eventually(() => idsOf(client).length === idsOf(whole).length, {
        says: 'as many as the log holds',
      });
      expect(idsOf(client)).toEqual(idsOf(whole));
      expect(idsOf(client).length).toBeGreaterThan(20);
    }
    direct.close();
  });

  it('[F18] passes signals on', async () => {
    const accountId = await world.account('signals');
    const client = await member(await world.login(accountId));
    const signals = [JSON.stringify({ account_id: accountId, kind: 'typing', chat_id: 1 })];
    await world.publish([commitOf(accountId, nextLsn(), [], { signals })]);
    expect(await client.next('signal')).toEqual({ type: 'signal', kind: 'typing', chat_id: 1 });
  });

  it('[F11] beats as the position moves, and not when it stands still', async () => {
    const accountId = await world.account('beats');
    const client = await member(await world.login(accountId));
    const position = lsn(nextLsn());
    await world.control.advance({ ...world.mandate(), position });
    const wanted = world.hub.cursorAt(lsn(at - 1));
    await eventually(() => client.all('heartbeat').some(({ cursor }) => cursor === wanted));
    expect(await readiness()).toBe(200);
    await eventually(async () => (await readiness()) === 503, {
      says: 'health is red when nothing moves',
    });
    const beats = client.all('heartbeat').length;
    await client.settled();
    expect(client.all('heartbeat').length).toBe(beats);
  });

  it('[F21] closes the sockets of a revoked session', async () => {
    const accountId = await world.account('revoked');
    const who = await world.login(accountId);
    const client = await member(who);
    await client.subscribe('x', TAGS);
    await world.db.query(
      sql`update public.sessions set revoked_at = now() where id = ${who.sessionId}`,
    );
    const change = changeOf('update', 'sessions', {
      ...tag(accountId, who.sessionId, ''),
      user_id: String(who.userId),
    });
    await world.publish([
      commitOf(accountId, nextLsn(), [change]),
      commitOf(accountId, nextLsn(), [insert(accountId, 1)]),
    ]);
    expect(await client.closeCode()).toBe(4401);
    expect(idsOf(client)).toEqual([]);
  });

  // Last: it ends the epoch of the others.
  it('[F28] closes its sockets with 1012 when Redis is gone, refuses new ones, and serves again', async () => {
    const accountId = await world.account('gone');
    const who = await world.login(accountId);
    const client = await member(who);
    const { cursor } = await client.subscribe('x', TAGS);
    const stranger = new FeedClient(gateway.port);
    await eventually(() => stranger.socket.readyState === 1);
    await redis.stop();
    expect(await client.closeCode()).toBe(1012);
    // Accepted before, and says who it is now: it is nobody's fault.
    stranger.send({ type: 'hello', version: 1, token: await who.token() });
    expect(await stranger.closeCode()).toBe(1012);
    expect(stranger.all('error').map(({ code }) => code)).toEqual(['unavailable']);
    expect(await readiness()).toBe(503);
    const refused = new FeedClient(gateway.port);
    expect(await eventually(() => refused.refused)).toBe(503);
    await redis.start();
    await eventually(async () => (await world.redis.ping()) === 'PONG');
    await world.openEpoch(lsn(at));
    const again = await eventually(async () => {
      const one = new FeedClient(gateway.port);
      await eventually(() => one.refused ?? one.socket.readyState === 1);
      return one.refused === undefined && one;
    });
    await again.hello(await who.token());
    again.send({ type: 'subscribe', id: 'x', tables: TAGS, since: cursor });
    const resync = await again.next('resync');
    expect(resync.reason).toBe('epoch');
    await again.subscribe('x', TAGS, resync.cursor);
    await publish(accountId, 1);
    await eventually(() => idsOf(again).length === 1);
  });

  it('[F12] names its port and setting when it cannot listen', async () => {
    const starting = startGateway(configOf(gateway.port), log, new AbortController().signal);
    await expect(starting).rejects.toThrow(/GATEWAY_PORT/);
  });
});
