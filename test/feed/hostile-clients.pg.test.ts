import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CLIENT_FRAME_BYTES_MAX } from '../../domain/feed-protocol.ts';
import { startFeedServer } from '../../replicator/feed/feed-server.ts';
import { eventually } from '../support/eventually.ts';
import { changeOf, commitOf, FeedClient, log, tag } from './support.ts';
import { openFeedWorld, SECRET, type FeedWorld } from './world.ts';

let world: FeedWorld;
let accountId: number;
let healthy: FeedClient;
let at = 2_000;
const sockets: Socket[] = [];

beforeAll(async () => {
  world = await openFeedWorld();
  accountId = await world.account('beside');
});
beforeEach(async () => {
  healthy = await world.member(await world.login(accountId));
  await healthy.subscribe('x', [{ table: 'tags' }]);
});
/** Whatever was done to the server: whoever is beside gets his events, at once and all of them. */
afterEach(async () => {
  const before = healthy.all('commit').length;
  for (let id = 1; id <= 5; id++)
    await world.publish([
      commitOf(accountId, (at += 16), [changeOf('insert', 'tags', tag(accountId, at, 'event'))]),
    ]);
  await eventually(() => healthy.all('commit').length === before + 5);
  expect(healthy.closed).toBeUndefined();
  healthy.close();
  for (const socket of sockets.splice(0)) socket.destroy();
});
afterAll(() => world.close());

/** A connection that says what the test wants, and what came of it. */
class Wire {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  isClosed = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    sockets.push(this.socket);
    this.socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => (this.isClosed = true));
  }

  async closed(timeoutMs = 5_000): Promise<void> {
    await eventually(() => this.isClosed, { says: 'the server hangs up', timeoutMs });
  }
}

async function upgraded(headers = ''): Promise<Wire> {
  const wire = new Wire(world.port);
  const key = randomBytes(16).toString('base64');
  wire.socket.write(
    `GET /feed HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${headers}\r\n`,
  );
  await eventually(() => wire.received.includes('\r\n\r\n'));
  expect(wire.received.toString('latin1')).toMatch(/^HTTP\/1.1 101 /);
  return wire;
}

const FIN = 0x80;
const RSV1 = 0x40;
const TEXT = 1;
const PING = 9;

/** RFC 6455 section 5.2, masked as a client's must be. */
function frame(first: number, payload: Buffer, claimed: bigint = BigInt(payload.length)): Buffer {
  const mask = randomBytes(4);
  const masked = Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0)));
  const length =
    claimed < 126n
      ? Buffer.from([0x80 | Number(claimed)])
      : Buffer.from([0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
  if (claimed >= 126n) length.writeBigUInt64BE(claimed, 1);
  return Buffer.concat([Buffer.from([first]), length, mask, masked]);
}

const hello = async (): Promise<Buffer> => {
  const token = await (await world.login(accountId)).token();
  return Buffer.from(JSON.stringify({ type: 'hello', version: 1, token }));
};

describe('a client that breaks the protocol below the messages', () => {
  const bomb = deflateRawSync(Buffer.alloc(32 * 1024 * 1024));
  const frames: [string, () => Buffer][] = [
    ['a compressed bomb, which was never agreed to', () => frame(FIN | RSV1 | TEXT, bomb)],
    ['a small compressed frame', () => frame(FIN | RSV1 | TEXT, Buffer.from([1, 2, 3]))],
    ['a length of an exabyte', () => frame(FIN | TEXT, Buffer.from('{'), 1n << 60n)],
    ['a length that is negative', () => frame(FIN | TEXT, Buffer.from('{'), 1n << 63n)],
    ['bytes that are not UTF-8', () => frame(FIN | TEXT, Buffer.from([0x7b, 0xff, 0xfe, 0x7d]))],
    ['an operation that there is not', () => frame(FIN | 0xb, Buffer.from('x'))],
    ['a ping that is too long', () => frame(FIN | PING, Buffer.alloc(126))],
    ['a ping in fragments', () => frame(PING, Buffer.from('x'))],
    ['the end of a message that has not begun', () => frame(FIN | 0, Buffer.from('x'))],
    [
      'fragments without an end',
      () =>
        Buffer.concat([
          frame(TEXT, Buffer.alloc(1_000, 0x20)),
          ...Array.from({ length: 200 }, () => frame(0, Buffer.alloc(1_000, 0x20))),
        ]),
    ],
    ['noise', () => Buffer.concat([Buffer.from([0xff]), randomBytes(4_096)])],
  ];

  it.each(frames)('[F3] (%s) is hung up on, and nobody else notices', async (_name, bytes) => {
    const wire = await upgraded('Sec-WebSocket-Extensions: permessage-deflate\r\n');
    expect(wire.received.toString('latin1').toLowerCase()).not.toContain('permessage-deflate');
    wire.socket.write(bytes());
    await wire.closed();
  });

  it('[F3] may cut a message into fragments and put pings between them: that is the protocol', async () => {
    const wire = await upgraded();
    const text = await hello();
    wire.socket.write(frame(TEXT, text.subarray(0, 5)));
    wire.socket.write(frame(FIN | PING, Buffer.from('?')));
    wire.socket.write(frame(0, text.subarray(5, 9)));
    wire.socket.write(frame(FIN | 0, text.subarray(9)));
    await eventually(() => wire.received.includes('"type":"welcome"'));
  });

  it('[F3] in fragments is measured as a whole: beyond a frame it is closed with 4400', async () => {
    const wire = await upgraded();
    const half = Buffer.alloc(CLIENT_FRAME_BYTES_MAX / 2 + 1, 0x20);
    wire.socket.write(Buffer.concat([frame(TEXT, half), frame(FIN | 0, half)]));
    await wire.closed();
    const code = Buffer.from([4400 >> 8, 4400 & 0xff]);
    expect(wire.received.includes(code)).toBe(true);
  });
});

describe('a client that does not come to the point', () => {
  it('[F2] is hung up on: silent, or a header at a time', { timeout: 60_000 }, async () => {
    const silent = Array.from({ length: 100 }, () => new Wire(world.port));
    const slow = new Wire(world.port);
    slow.socket.write('GET /feed HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => slow.socket.write('X-More: b\r\n'), 500);
    await Promise.all([...silent, slow].map((wire) => wire.closed(40_000)));
    clearInterval(drip);
  });

  it('[F4] may not hold more connections than sockets of one address are allowed', async () => {
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
      limits: { total: 100, perAddress: 4, unauthenticated: 20 },
    });
    // Sockets that were opened are counted as sockets: they leave room for those who knock.
    const who = await world.login(accountId);
    const opened = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const client = new FeedClient(small.port);
        await client.hello(await who.token());
        return client;
      }),
    );
    const knocking = Array.from({ length: 30 }, () => new Wire(small.port));
    await eventually(() => knocking.filter((wire) => wire.isClosed).length >= 26);
    expect(knocking.filter((wire) => !wire.isClosed).length).toBe(4);
    for (const client of opened) {
      await client.settled();
      expect(client.closed).toBeUndefined();
    }
    await small.stop();
  });

  it('[F2] with a head that does not end is hung up on', async () => {
    const wire = new Wire(world.port);
    wire.socket.write(`GET /feed HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(64 * 1024)}`);
    await wire.closed();
  });

  it('[F5] is refused from a foreign page, whatever cookie its browser sends along', async () => {
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
    const cookie = `clarin_refresh=${await (await world.login(accountId)).token()}`;
    for (const origin of ['https://evil.example.com', 'null', 'https://app.example.com.evil.com']) {
      const client = new FeedClient(server.port, { origin, cookie });
      expect(await eventually(() => client.refused)).toBe(403);
    }
    // Nor is a cookie worth anything from the right one.
    const client = await new FeedClient(server.port, {
      origin: 'https://app.example.com',
      cookie,
    }).opened();
    client.send({ type: 'subscribe', id: 'x', tables: [{ table: 'tags' }] });
    expect(await client.closeCode()).toBe(4400);
    await server.stop();
  });
});
