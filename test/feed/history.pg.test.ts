import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatCursor } from '../../domain/cursor.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { changeOf, commitOf, lsn, tag } from './support.ts';
import { openFeedWorld, type FeedWorld, type Login } from './world.ts';

let world: FeedWorld;
let at = 2_000;
const nextLsn = (): number => (at += 16);

beforeAll(async () => {
  world = await openFeedWorld({ logBytesMax: 400_000 });
});
afterAll(() => world.close());

const insert = (accountId: number, id: number, name = `tag ${id}`) =>
  changeOf('insert', 'tags', tag(accountId, id, name));

async function publishOne(accountId: number, id: number): Promise<string> {
  const commitLsn = nextLsn();
  await world.publish([commitOf(accountId, commitLsn, [insert(accountId, id)])]);
  return formatCursor({ epoch: world.mandate().epoch.id, lsn: lsn(commitLsn) });
}

async function someone(slug: string): Promise<Login> {
  return world.login(await world.account(slug));
}

const TAGS = [{ table: 'tags' }];

describe('resume', () => {
  it('[F14] sends what came after the cursor, then says subscribed, then goes on live', async () => {
    const who = await someone('resume');
    await publishOne(who.accountId, 1);
    const cursor = await publishOne(who.accountId, 2);
    await publishOne(who.accountId, 3);
    await publishOne(who.accountId, 4);
    const client = await world.member(who);
    const subscribed = await client.subscribe('again', TAGS, cursor);
    await publishOne(who.accountId, 5);
    await eventually(() => client.all('commit').length === 3);
    expect(client.all('commit').map(({ changes }) => changes[0]?.key['id'])).toEqual([3, 4, 5]);
    const order = client.messages
      .map(({ type }) => type)
      .filter((type) => type === 'commit' || type === 'subscribed');
    expect(order).toEqual(['commit', 'commit', 'subscribed', 'commit']);
    expect(subscribed.cursor).toBe(world.hub.cursorAt(lsn(at - 16 + 7)));
  });

  it('[F14] sends the very bytes that were sent live, filter and column rights included', async () => {
    const accountId = await world.account('bytes');
    const live = await world.member(await world.login(accountId, ['tags']));
    const tables = [{ table: 'tags' }, { table: 'accounts' }];
    await live.subscribe('x', tables);
    const start = await publishOne(accountId, 1);
    const row = {
      ...tag(accountId, accountId, 'A'),
      slug: 'a',
      plan: 'p',
      max_devices: '1',
      is_active: 't',
    };
    const more = { default_country: 'PE', timezone: 'UTC', settings: '{"secret":true}' };
    const changes = [changeOf('update', 'accounts', { ...row, ...more }), insert(accountId, 2)];
    await world.publish([commitOf(accountId, nextLsn(), changes, { origin: '{"source":"api"}' })]);
    const late = await world.member(await world.login(accountId, ['tags']));
    await late.subscribe('x', tables, start);
    const commitsOf = (texts: readonly string[]) =>
      texts.filter((text) => text.includes('"commit"'));
    await eventually(() => commitsOf(live.texts).length === 2);
    expect(commitsOf(late.texts)).toEqual(commitsOf(live.texts).slice(1));
    expect(late.texts.join('')).not.toContain('secret');
  });

  it('[F15] misses nothing and repeats nothing while commits keep coming', async () => {
    const who = await someone('race');
    const cursor = await publishOne(who.accountId, 0);
    const clients = await Promise.all(Array.from({ length: 6 }, () => world.member(who)));
    let next = 1;
    const writing = (async () => {
      for (; next <= 250; next++) await publishOne(who.accountId, next);
    })();
    for (const client of clients) {
      client.send({ type: 'subscribe', id: 'race', tables: TAGS, since: cursor });
      const behind = next + 20;
      await eventually(() => next >= Math.min(behind, 250), { everyMs: 1 });
    }
    await writing;
    for (const client of clients) {
      const ids = await eventually(() => {
        const all = client.all('commit').map(({ changes }) => changes[0]?.key['id']);
        return all.includes(250) && all;
      });
      expect(ids).toEqual(Array.from({ length: 250 }, (_, i) => i + 1));
    }
  });

  it('[F15] counts a commit record that begins where the position ended', async () => {
    const who = await someone('adjacent');
    const first = nextLsn();
    await world.publish(
      [commitOf(who.accountId, first, [insert(who.accountId, 1)])],
      lsn(first + 8),
    );
    const early = await world.member(who);
    const { cursor } = await early.subscribe('early', TAGS);
    // Its record begins at the very byte at which the position stands.
    await world.publish(
      [commitOf(who.accountId, first + 8, [insert(who.accountId, 2)])],
      lsn(first + 16),
    );
    await early.next('commit');
    const late = await world.member(who);
    await late.subscribe('late', TAGS, cursor);
    expect(late.all('commit').map(({ changes }) => changes[0]?.key['id'])).toEqual([2]);
  });

  it('[F15] delivers a replayed commit once', async () => {
    const who = await someone('replay');
    const client = await world.member(who);
    await client.subscribe('once', TAGS);
    const commits = [1, 2].map((id) =>
      commitOf(who.accountId, nextLsn(), [insert(who.accountId, id)]),
    );
    await world.publish(commits);
    await world.publish(commits);
    world.hub.openEpoch(world.mandate().epoch, lsn(at + 1_000_000));
    await publishOne(who.accountId, 3);
    await eventually(() => client.all('commit').length === 3);
    await client.settled();
    expect(client.all('commit').map(({ changes }) => changes[0]?.key['id'])).toEqual([1, 2, 3]);
  });
});

describe('resync', () => {
  it('[F16] says so when the cursor is of another epoch', async () => {
    const who = await someone('epoch');
    const client = await world.member(who);
    client.send({ type: 'subscribe', id: 'a', tables: TAGS, since: 'otherepoch.0/10' });
    expect(await client.next('resync')).toMatchObject({ id: 'a', reason: 'epoch' });
    const { cursor } = client.all('resync')[0] ?? { cursor: '' };
    await client.subscribe('a', TAGS, cursor);
  });

  it('[F16] says so when the log no longer reaches back to the cursor', async () => {
    const who = await someone('history');
    const cursor = await publishOne(who.accountId, 1);
    for (let id = 2; id < 8; id++) {
      await world.publish([
        commitOf(who.accountId, nextLsn(), [insert(who.accountId, id, 'x'.repeat(100_000))]),
      ]);
    }
    const client = await world.member(who);
    client.send({ type: 'subscribe', id: 'old', tables: TAGS, since: cursor });
    expect(await client.next('resync')).toMatchObject({ id: 'old', reason: 'history' });
    expect(client.all('commit')).toEqual([]);
  });

  it('[F17] waits for a cursor that is a little ahead of it', async () => {
    const who = await someone('ahead');
    const client = await world.member(who);
    const ahead = nextLsn();
    client.send({
      type: 'subscribe',
      id: 'x',
      tables: TAGS,
      since: world.hub.cursorAt(lsn(ahead)),
    });
    await client.settled();
    expect(client.all('subscribed')).toEqual([]);
    await world.publish([commitOf(who.accountId, ahead, [insert(who.accountId, 1)])]);
    await publishOne(who.accountId, 2);
    await client.next('subscribed');
    await eventually(() => client.all('commit').length === 1);
    expect(client.all('commit')[0]?.changes[0]?.key['id']).toBe(2);
  });

  it('[F17] says resync when it does not get there', async () => {
    const who = await someone('far');
    const client = await world.member(who);
    client.send({
      type: 'subscribe',
      id: 'x',
      tables: TAGS,
      since: world.hub.cursorAt(lsn(at + 1_000_000_000)),
    });
    expect(await client.next('resync')).toMatchObject({ id: 'x', reason: 'ahead' });
  });
});

describe('signals', () => {
  it('[F18] reach those who may see them, live only', async () => {
    const accountId = await world.account('signals');
    const agent = await world.member(await world.login(accountId, ['chats', 'tags']));
    const other = await world.member(await world.login(accountId, ['tags']));
    const { cursor } = await agent.subscribe('x', TAGS);
    const signal = {
      account_id: accountId,
      kind: 'typing',
      chat_id: 5,
      user_id: 1,
      permission: 'chats',
    };
    const signals = [JSON.stringify(signal), 'no json', '{"kind":1}'];
    await world.publish([commitOf(accountId, nextLsn(), [insert(accountId, 1)], { signals })]);
    const received = await agent.next('signal');
    expect(received).toEqual({ type: 'signal', kind: 'typing', chat_id: 5, user_id: 1 });
    await other.settled();
    expect(other.all('signal')).toEqual([]);
    const late = await world.member(await world.login(accountId, ['chats', 'tags']));
    await late.subscribe('x', TAGS, cursor);
    expect(late.all('commit').length).toBe(1);
    expect(late.all('signal')).toEqual([]);
  });

  it('[F18] of a client go into the WAL and nowhere else', async () => {
    const accountId = await world.account('typing');
    const [chat] = await world.db.query(
      sql`select id from public.chats where account_id = ${accountId} limit 1`,
    );
    const typing = { type: 'signal', kind: 'typing', chat_id: Number(chat?.['id']) } as const;
    const client = await world.member(await world.login(accountId, ['chats']));
    const [before] = await world.db.query(sql`select pg_current_wal_insert_lsn() as lsn`);
    client.send(typing);
    await client.settled();
    const [after] = await world.db.query(
      sql`select pg_current_wal_insert_lsn() > ${before?.['lsn']}::pg_lsn as moved`,
    );
    expect(after?.['moved']).toBe('t');
    for (let i = 0; i < 20; i++) client.send(typing);
    expect(await client.next('error')).toMatchObject({ code: 'rate_limited' });
    const mute = await world.member(await world.login(accountId, ['tags']));
    mute.send(typing);
    expect(await mute.next('error')).toMatchObject({ code: 'forbidden' });
  });
});

// Last: it ends the epoch of the others.
describe('a new epoch', () => {
  it('[F19] ends every subscription with a resync, and serves those who subscribe again', async () => {
    const who = await someone('renewed');
    const client = await world.member(who);
    const { cursor } = await client.subscribe('x', TAGS);
    await world.openEpoch(lsn(at));
    const resync = await client.next('resync');
    expect(resync).toMatchObject({ reason: 'epoch' });
    expect(resync.id).toBeUndefined();
    await publishOne(who.accountId, 1);
    await client.settled();
    expect(client.all('commit')).toEqual([]);
    client.send({ type: 'subscribe', id: 'x', tables: TAGS, since: cursor });
    expect(await client.next('resync')).toMatchObject({ id: 'x', reason: 'epoch' });
    await client.subscribe('x', TAGS, resync.cursor);
    expect(client.all('commit').length).toBe(1);
  });
});
