import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { EncodedChange } from '../../domain/change.ts';
import { createDatabase, type Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { changeOf, commitOf, lsn, log, tag, type FeedClient } from './support.ts';
import { openFeedWorld, type FeedWorld, type Login } from './world.ts';

let world: FeedWorld;
let at = 2_000;
const nextLsn = (): number => (at += 16);

beforeAll(async () => {
  world = await openFeedWorld();
});
afterAll(() => world.close());

const TAGS = [{ table: 'tags' }];
const insert = (accountId: number, id: number) =>
  changeOf('insert', 'tags', tag(accountId, id, `tag ${id}`));
const publish = (accountId: number, ...changes: readonly EncodedChange[]) =>
  world.publish([commitOf(accountId, nextLsn(), changes)]);
const idsOf = (client: FeedClient) =>
  client.all('commit').map(({ changes }) => changes[0]?.key['id']);

/** What the WAL says when the session's row changes. */
const sessionChange = (who: Login): EncodedChange =>
  changeOf('update', 'sessions', {
    ...tag(who.accountId, who.sessionId, ''),
    user_id: String(who.userId),
  });
const roleChange = (who: Login): EncodedChange =>
  changeOf('update', 'roles', { ...tag(who.accountId, 1, 'role'), permissions: '{}' });

const run = (statement: Sql) => world.db.query(statement);
const revoke = (who: Login) =>
  run(sql`update public.sessions set revoked_at = now() where id = ${who.sessionId}`);
const setPermissions = (who: Login, permissions: readonly string[]) =>
  run(sql`
    update public.roles set permissions = ${[...permissions]}::text[]
    where id = (select role_id from public.memberships
      where account_id = ${who.accountId} and user_id = ${who.userId})`);

/** Nobody can read a session until it is let go: the check hangs. */
async function blockSessions(): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: world.database.ownerUrl });
  await client.connect();
  await client.query('begin');
  await client.query('lock table public.sessions in access exclusive mode');
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => (released ??= client.end());
  onTestFinished(release);
  return release;
}

describe('the token of a socket', () => {
  it('[F20] expires with 4401 on an open socket', async () => {
    const who = await world.login(await world.account('expires'));
    const client = world.client();
    await client.hello(await who.token(2));
    expect(await client.closeCode()).toBe(4401);
    expect(client.all('error')[0]).toMatchObject({ code: 'unauthenticated' });
  });

  it('[F20] is followed by a fresh one without losing anything', async () => {
    const who = await world.login(await world.account('fresh'));
    const client = world.client();
    await client.hello(await who.token(2));
    await client.subscribe('x', TAGS);
    client.send({ type: 'auth', token: await who.token() });
    await client.next('authenticated');
    const until = Date.now() + 3_000;
    let id = 0;
    await eventually(async () => {
      await publish(who.accountId, insert(who.accountId, ++id));
      return Date.now() > until;
    });
    await client.settled();
    expect(idsOf(client)).toEqual(Array.from({ length: id }, (_, i) => i + 1));
  });

  it('[F20] cannot be replaced by one of another user or account, or by a bad one', async () => {
    const accountId = await world.account('replace');
    const [who, colleague] = [await world.login(accountId), await world.login(accountId)];
    const stranger = await world.login(await world.account('stranger'));
    const client = await world.member(who);
    for (const token of [await colleague.token(), await stranger.token()]) {
      client.send({ type: 'auth', token });
      expect(await client.next('error')).toMatchObject({ code: 'forbidden' });
    }
    client.send({ type: 'auth', token: 'bad' });
    expect(await client.next('error')).toMatchObject({ code: 'unauthenticated' });
    await client.settled();
  });
});

describe('a revocation', () => {
  it('[F21] closes the sockets of the session with 4401, and nothing behind it reaches them', async () => {
    const accountId = await world.account('revoked');
    const [gone, stays] = [await world.login(accountId), await world.login(accountId)];
    const [first, second] = [await world.member(gone), await world.member(stays)];
    for (const client of [first, second]) await client.subscribe('x', TAGS);
    await revoke(gone);
    const commits = [
      commitOf(accountId, nextLsn(), [insert(accountId, 1)]),
      commitOf(accountId, nextLsn(), [sessionChange(gone), insert(accountId, 2)]),
      commitOf(accountId, nextLsn(), [insert(accountId, 3)]),
    ];
    await world.publish(commits);
    expect(await first.closeCode()).toBe(4401);
    expect(idsOf(first)).toEqual([1]);
    await eventually(() => idsOf(second).length === 3);
    expect(second.closed).toBeUndefined();
  });

  it('[F22] holds back everything behind it while the answer is awaited, and then sends it to those who may', async () => {
    const accountId = await world.account('held');
    const [gone, stays] = [await world.login(accountId), await world.login(accountId)];
    const [first, second] = [await world.member(gone), await world.member(stays)];
    for (const client of [first, second]) await client.subscribe('x', TAGS);
    await revoke(gone);
    const release = await blockSessions();
    await publish(accountId, roleChange(gone));
    for (let id = 1; id <= 5; id++) await publish(accountId, insert(accountId, id));
    world.hub.signal(accountId, '{"kind":"typing"}');
    world.hub.heartbeat(lsn(at + 8));
    await first.settled();
    await second.settled();
    for (const client of [first, second]) {
      expect(idsOf(client)).toEqual([]);
      expect(client.all('signal')).toEqual([]);
    }
    // A heartbeat must not let the client believe that it has been served.
    expect(second.all('heartbeat').pop()?.cursor).toBe(world.hub.cursorAt(lsn(at - 5 * 16 - 1)));
    await release();
    expect(await first.closeCode()).toBe(4401);
    expect(idsOf(first)).toEqual([]);
    await eventually(() => idsOf(second).length === 5);
    expect(idsOf(second)).toEqual([1, 2, 3, 4, 5]);
    await publish(accountId, insert(accountId, 6));
    await eventually(() => idsOf(second).length === 6);
  });

  it('[F22] lets nobody in while it cannot be read', async () => {
    const impatient = createDatabase({
      url: world.database.ownerUrl,
      applicationName: 'impatient',
      max: 2,
      statementTimeoutMs: 150,
      log,
    });
    const other = await openFeedWorld({ database: impatient });
    const accountId = await world.account('doubt');
    const who = await world.login(accountId);
    const client = await other.member(who);
    await client.subscribe('x', TAGS);
    const release = await blockSessions();
    await other.publish([
      commitOf(accountId, 5_000, [roleChange(who)]),
      commitOf(accountId, 5_016, [insert(accountId, 1)]),
    ]);
    expect(await client.closeCode()).toBe(1012);
    expect(idsOf(client)).toEqual([]);
    await release();
    await other.close();
    await impatient.close();
  });

  it('[F21] counts against an answer that is older than it', async () => {
    // The network is slow: answers are on their way for as long as the test wants.
    let arrive = (): void => undefined;
    const arrival = new Promise<void>((resolve) => (arrive = resolve));
    let isSlow = false;
    let asked = 0;
    const slow: Queries = {
      query: async (statement) => {
        const rows = await world.db.query(statement);
        asked++;
        if (isSlow) await arrival;
        return rows;
      },
    };
    const other = await openFeedWorld({ database: slow });
    onTestFinished(() => other.close());
    const accountId = await world.account('stale-answer');
    const who = await world.login(accountId);
    const client = await other.member(who);
    await client.subscribe('x', TAGS);
    isSlow = true;
    asked = 0;
    await other.publish([commitOf(accountId, 5_000, [roleChange(who)])]);
    await eventually(() => asked === 1);
    await revoke(who);
    await other.publish([
      commitOf(accountId, 5_016, [sessionChange(who)]),
      commitOf(accountId, 5_032, [insert(accountId, 1)]),
    ]);
    arrive();
    expect(await client.closeCode()).toBe(4401);
    expect(idsOf(client)).toEqual([]);
  });

  it('[F21] that comes while hello is being answered is seen', async () => {
    const accountId = await world.account('hello-race');
    const who = await world.login(accountId);
    const release = await blockSessions();
    const client = await world.client().opened();
    client.send({ type: 'hello', version: 1, token: await who.token() });
    await eventually(() => world.hub.accounts().includes(accountId));
    await publish(accountId, sessionChange(who));
    // The answer that is on its way is older than this.
    await release();
    await revoke(who);
    await publish(accountId, sessionChange(who));
    expect(await client.closeCode()).toBe(4401);
  });
});

describe('a role', () => {
  it('[F23] that loses a table ends the subscriptions that name it, and only those', async () => {
    const accountId = await world.account('narrowed');
    const who = await world.login(accountId, ['tags', 'pipelines']);
    const client = await world.member(who);
    await client.subscribe('tags', TAGS);
    await client.subscribe('pipelines', [{ table: 'pipelines' }]);
    await setPermissions(who, ['pipelines']);
    await publish(accountId, roleChange(who));
    expect(await client.next('error')).toMatchObject({ code: 'forbidden', id: 'tags' });
    await publish(
      accountId,
      insert(accountId, 1),
      changeOf('insert', 'pipelines', { ...tag(accountId, 8, 'p'), position: '1' }),
    );
    const commit = await client.next('commit');
    expect(commit.ids).toEqual(['pipelines']);
    expect(commit.changes.map(({ table }) => table)).toEqual(['pipelines']);
    client.send({ type: 'subscribe', id: 'tags', tables: TAGS });
    expect(await client.next('error')).toMatchObject({ code: 'forbidden', id: 'tags' });
  });

  it('[F23] that loses everything a socket shows closes it with 4403', async () => {
    const accountId = await world.account('nothing');
    const who = await world.login(accountId, ['tags']);
    const client = await world.member(who);
    await client.subscribe('tags', TAGS);
    await setPermissions(who, ['ops']);
    await publish(accountId, roleChange(who), insert(accountId, 1));
    expect(await client.closeCode()).toBe(4403);
    expect(idsOf(client)).toEqual([]);
  });

  it('[F24] decides which columns are seen, from the next commit on', async () => {
    const accountId = await world.account('columns');
    const who = await world.login(accountId, ['settings']);
    const client = await world.member(who);
    await client.subscribe('x', [{ table: 'accounts' }]);
    const row = {
      ...tag(accountId, accountId, 'A'),
      slug: 's',
      is_active: 't',
      settings: '{"secret":1}',
    };
    const change = changeOf('update', 'accounts', row);
    await publish(accountId, change);
    expect((await client.next('commit')).changes[0]).toMatchObject({
      row: { settings: { secret: 1 } },
    });
    await setPermissions(who, []);
    await publish(accountId, roleChange(who));
    await publish(accountId, change);
    const after = await client.next('commit');
    expect(after.changes[0]).toMatchObject({ op: 'update', row: { name: 'A' } });
    expect(JSON.stringify(after)).not.toContain('secret');
  });

  it('[F24] of two users of one account gives each what he may see', async () => {
    const accountId = await world.account('two-roles');
    const may = await world.member(await world.login(accountId, ['settings']));
    const mayNot = await world.member(await world.login(accountId, ['tags']));
    for (const client of [may, mayNot]) await client.subscribe('x', [{ table: 'accounts' }]);
    const row = {
      ...tag(accountId, accountId, 'A'),
      slug: 's',
      is_active: 't',
      settings: '{"secret":1}',
    };
    // Every change of an account is a reason to look again; both are served all the same.
    await publish(accountId, changeOf('update', 'accounts', row));
    expect(JSON.stringify(await may.next('commit'))).toContain('secret');
    expect(JSON.stringify(await mayNot.next('commit'))).not.toContain('secret');
  });
});

describe('what the feed was never told', () => {
  it('[F21] a session revoked behind a gap of history is closed when the new epoch begins', async () => {
    const account = await world.account('gap');
    const [gone, stays] = [await world.login(account), await world.login(account)];
    const [revoked, other] = [await world.member(gone), await world.member(stays)];
    await revoke(gone);
    await world.openEpoch(lsn((at += 1_000)));
    expect(await revoked.closeCode()).toBe(4401);
    await other.next('resync');
    await other.subscribe('t', TAGS);
    await publish(account, insert(account, 1));
    await other.next('commit');
    expect(revoked.all('commit')).toEqual([]);
  });
});
