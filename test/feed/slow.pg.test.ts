import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SOCKET_BACKLOG_BYTES_MAX, type ClientMessage } from '../../domain/feed-protocol.ts';
import { DRAIN_TIMEOUT_MS, RESUMES_PER_ACCOUNT_MAX } from '../../replicator/feed/limits.ts';
import { eventually } from '../support/eventually.ts';
import { changeOf, commitOf, tag, type FeedClient } from './support.ts';
import { openFeedWorld, type FeedWorld } from './world.ts';

let world: FeedWorld;
let at = 2_000;
let skewMs = 0;
const nextLsn = (): number => (at += 16);

beforeAll(async () => {
  world = await openFeedWorld({ nowMs: () => Date.now() + skewMs });
});
afterAll(() => world.close());

const BODY = 'x'.repeat(100_000);
const change = (accountId: number, id: number) =>
  changeOf('insert', 'tags', tag(accountId, id, BODY));
const idsOf = (client: FeedClient) =>
  client.all('commit').flatMap(({ changes }) => changes.map(({ key }) => key['id']));
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

async function publishUntil(
  accountId: number,
  from: number,
  isDone: () => boolean,
): Promise<number> {
  let id = from;
  await eventually(
    async () => {
      await world.publish([commitOf(accountId, nextLsn(), [change(accountId, ++id)])]);
      return isDone();
    },
    { everyMs: 1, says: 'the reader is given up' },
  );
  return id;
}

const slowCloses = async (): Promise<number> =>
  (await world.metrics.slowCloses.get()).values[0]?.value ?? 0;

describe('a reader that stalls', () => {
  it('[F25] gets a prefix without a gap, then 4408, and resumes where it was', async () => {
    const accountId = await world.account('stalls');
    const who = await world.login(accountId);
    const [stalled, healthy] = [await world.member(who), await world.member(who)];
    for (const client of [stalled, healthy]) await client.subscribe('x', [{ table: 'tags' }]);
    const before = await slowCloses();
    stalled.socket.pause();
    let last = await publishUntil(accountId, 0, () => healthy.all('commit').length > 20);
    const given = async () => (await slowCloses()) > before;
    let isGiven = false;
    const watching = eventually(given).then(() => (isGiven = true));
    last = await publishUntil(accountId, last, () => isGiven);
    await watching;
    // What is published after the close must not reach it, either.
    last = await publishUntil(accountId, last, () => true);
    stalled.socket.resume();
    expect(await stalled.closeCode()).toBe(4408);
    const got = idsOf(stalled);
    expect(got).toEqual(upTo(got.length));
    expect(got.length).toBeGreaterThan(20);
    expect(got.length).toBeLessThan(last);
    await eventually(() => idsOf(healthy).length === last);
    expect(healthy.closed).toBeUndefined();

    const commits = stalled.all('commit');
    const again = await world.member(who);
    await again.subscribe('x', [{ table: 'tags' }], commits[commits.length - 1]?.cursor);
    expect([...got, ...idsOf(again)]).toEqual(upTo(last));
  });

  it('[F26] costs no more than its budget, however many stall', async () => {
    const accountId = await world.account('memory');
    const who = await world.login(accountId);
    const clients = await Promise.all(Array.from({ length: 12 }, () => world.member(who)));
    for (const client of clients) await client.subscribe('x', [{ table: 'tags' }]);
    const before = await slowCloses();
    for (const client of clients) client.socket.pause();
    globalThis.gc?.();
    const rssBefore = process.memoryUsage().rss;
    let rssMost = 0;
    let isGiven = false;
    const watching = eventually(async () => (await slowCloses()) >= before + clients.length, {
      timeoutMs: 20_000,
    }).then(() => (isGiven = true));
    await publishUntil(accountId, 0, () => {
      rssMost = Math.max(rssMost, process.memoryUsage().rss);
      return isGiven;
    });
    await watching;
    // Twice, because clients and Redis' answers are in this process, too.
    expect(rssMost - rssBefore).toBeLessThan(2 * clients.length * SOCKET_BACKLOG_BYTES_MAX);
    for (const client of clients) client.close();
  });

  it('[F26] while it is sent history is waited for, and given up with 4408 when it takes nothing', async () => {
    const accountId = await world.account('paced');
    const who = await world.login(accountId);
    const { cursor } = await (await world.member(who)).subscribe('x', [{ table: 'tags' }]);
    for (let id = 1; id <= 120; id++)
      await world.publish([commitOf(accountId, nextLsn(), [change(accountId, id)])]);
    const reader = await world.member(who);
    await reader.subscribe('x', [{ table: 'tags' }], cursor);
    expect(idsOf(reader)).toEqual(upTo(120));
    const stalled = await world.member(who);
    stalled.socket.pause();
    stalled.send({ type: 'subscribe', id: 'x', tables: [{ table: 'tags' }], since: cursor });
    const before = await slowCloses();
    // It holds little and may take its time, however much there is; meanwhile others are served.
    const other = await world.member(who);
    await other.subscribe('x', [{ table: 'tags' }], cursor);
    expect(await slowCloses()).toBe(before);
    await eventually(
      async () => {
        skewMs += DRAIN_TIMEOUT_MS / 20;
        return (await slowCloses()) > before;
      },
      { everyMs: 50 },
    );
    stalled.socket.resume();
    expect(await stalled.closeCode()).toBe(4408);
    const got = idsOf(stalled);
    expect(got).toEqual(upTo(got.length));
    expect(got.length).toBeLessThan(120);
  });

  it('[F26] keeps nobody else from resuming while its own history waits for it', async () => {
    const accountId = await world.account('slots');
    const who = await world.login(accountId);
    const { cursor } = await (await world.member(who)).subscribe('x', [{ table: 'tags' }]);
    for (let id = 1; id <= 140; id++)
      await world.publish([commitOf(accountId, nextLsn(), [change(accountId, id)])]);
    const resume = {
      type: 'subscribe',
      id: 'x',
      tables: [{ table: 'tags' }],
      since: cursor,
    } satisfies ClientMessage;
    const stalled = await Promise.all(
      Array.from({ length: RESUMES_PER_ACCOUNT_MAX }, () => world.member(who)),
    );
    for (const client of stalled) {
      client.socket.pause();
      client.send(resume);
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const reader = await world.member(who);
    reader.send(resume);
    await reader.next('subscribed', 3_000);
    expect(idsOf(reader)).toEqual(upTo(140));
    for (const client of stalled) client.close();
  });
});
