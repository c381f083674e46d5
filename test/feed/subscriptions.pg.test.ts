import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { changeOf, commitOf, lsn, markerOf, tag } from './support.ts';
import { openFeedWorld, type FeedWorld } from './world.ts';

let world: FeedWorld;
let at = 2_000;
const nextLsn = (): number => (at += 16);

beforeAll(async () => {
  world = await openFeedWorld();
});
afterAll(() => world.close());

describe('subscriptions', () => {
  it('[F6] sends the commits of the tables named, whole, with their origin', async () => {
    const accountId = await world.account('commits');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('mine', [{ table: 'tags' }]);
    const origin = '{"source":"api","operation_id":"op-1"}';
    const insert = changeOf('insert', 'tags', tag(accountId, 1, 'näme "x" 👩‍💻'));
    const other = changeOf('insert', 'pipelines', {
      ...tag(accountId, 9, 'p'),
      position: '1',
      is_default: 'f',
    });
    const commitLsn = nextLsn();
    await world.publish([
      commitOf(accountId, commitLsn, [insert, other, markerOf('bulk', 'tags')], { origin }),
    ]);
    const commit = await client.next('commit');
    expect(commit).toMatchObject({ ids: ['mine'], part: 0, last: true, xid: commitLsn });
    expect(commit.cursor).toBe(world.hub.cursorAt(lsn(commitLsn)));
    expect(commit.origin).toEqual({ source: 'api', operation_id: 'op-1' });
    expect(commit.changes.map((change) => change.op)).toEqual(['insert', 'bulk']);
    expect(commit.changes[0]).toMatchObject({
      row: { name: 'näme "x" 👩‍💻', id: 1 },
      key: { id: 1 },
    });
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
    await world.publish([
      commitOf(accountId, nextLsn(), [changeOf('insert', 'tags', tag(accountId, 1, 'a'))]),
    ]);
    for (const client of clients) await client.next('commit');
    expect(((await world.metrics.feedEncodings.get()).values[0]?.value ?? 0) - before).toBe(1);
  });

  it('[F7] ends a subscription on request, at once', async () => {
    const accountId = await world.account('ended');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('one', [{ table: 'tags' }]);
    client.send({ type: 'unsubscribe', id: 'one' });
    await client.next('unsubscribed');
    await world.publish([
      commitOf(accountId, nextLsn(), [changeOf('insert', 'tags', tag(accountId, 1, 'a'))]),
    ]);
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
      commitOf(accountId, nextLsn(), [
        changeOf('update', 'pipeline_stages', stage('1'), { pipeline_id: '2' }),
      ]),
      commitOf(accountId, nextLsn(), [
        changeOf('update', 'pipeline_stages', stage('2'), { pipeline_id: '1' }),
      ]),
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
    const changes = Array.from({ length: 60 }, (_, i) =>
      changeOf('insert', 'tags', tag(accountId, i, 'x'.repeat(10_000))),
    );
    const commits = [
      commitOf(accountId, nextLsn(), changes),
      commitOf(accountId, nextLsn(), changes.slice(0, 1)),
    ];
    await world.publish(commits);
    const parts = await eventually(() => client.all('commit').length === 4 && client.all('commit'));
    expect(parts.map(({ part, last }) => [part, last])).toEqual([
      [0, false],
      [1, false],
      [2, true],
      [0, true],
    ]);
    expect(
      parts.slice(0, 3).flatMap(({ changes: all }) => all.map(({ key }) => key['id'])),
    ).toEqual(changes.map((_, i) => i));
    expect(Math.max(...client.texts.map((text) => text.length))).toBeLessThan(300 * 1024);
  });

  it('[F9] sends a commit that is too large for one turn from the log, whole and in order', async () => {
    const accountId = await world.account('huge');
    const client = await world.member(await world.login(accountId));
    await client.subscribe('huge', [{ table: 'tags' }]);
    const changes = Array.from({ length: 900 }, (_, i) =>
      changeOf('insert', 'tags', tag(accountId, i, 'x'.repeat(10_000))),
    );
    const small = (id: number) => changeOf('insert', 'tags', tag(accountId, id, 'small'));
    await world.publish([
      commitOf(accountId, nextLsn(), [small(-1)]),
      commitOf(accountId, nextLsn(), changes),
    ]);
    await world.publish([commitOf(accountId, nextLsn(), [small(-2)])]);
    const ids = await eventually(() => {
      const all = client
        .all('commit')
        .flatMap((commit) => commit.changes.map(({ key }) => key['id']));
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
    const clients = [
      await world.member(await world.login(one)),
      await world.member(await world.login(two)),
    ] as const;
    for (const client of clients)
      await client.subscribe('same', [{ table: 'tags' }, { table: 'accounts' }]);
    const commits = [one, two, one, two].map((accountId, i) =>
      commitOf(
        accountId,
        nextLsn(),
        [changeOf('insert', 'tags', tag(accountId, i, `secret-of-${accountId}`))],
        {
          signals: [
            JSON.stringify({
              account_id: accountId,
              kind: 'typing',
              text: `secret-of-${accountId}`,
            }),
          ],
        },
      ),
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
