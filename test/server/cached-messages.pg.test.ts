import { beforeAll, expect, test } from 'vitest';
import { accountKeys, pageFamily, reachOf } from '../../domain/cache-key.ts';
import { mustFindEntity } from '../../domain/registry.ts';
import { CacheInspector } from '../../platform/cache/inspect.ts';
import { createLog } from '../../platform/log.ts';
import { sql } from '../../platform/sql.ts';
import { verifyAll } from '../../server/api/verify.ts';
import { openLiveCache, type LiveCache } from './live-cache.ts';
import { restrictedTo } from './restricted-role.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let live: LiveCache;
let one: Caller;
let chatId: number;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  chatId = one.chatIds[0] ?? 0;
  live = await openLiveCache(api.owner, api.config.redisUrl, api.config.redisPrefix);
});

const open = (chat = chatId, query = '', caller: { token: string } = one) =>
  api.ask(caller, 'GET', `/api/chats/${chat}/messages${query}`);
const fromCache = async (...asked: Parameters<typeof open>) =>
  (await open(...asked)).headers['clarin-cache'];

/** What the replicator makes of a row of `table` that changed, with this key. */
async function change(table: string, key: Readonly<Record<string, number>>): Promise<void> {
  const families = reachOf(mustFindEntity(table)).map((reach): [string, string[] | 'all'] => [
    reach.family,
    reach.scope === 'all' ? 'all' : [String(key[reach.field])],
  ]);
  await live.invalidate(one.accountId, Object.fromEntries(families));
}

test('the page a chat opens with is kept, byte for byte and without a statement', async () => {
  const miss = await open();
  expect(miss.headers['clarin-cache']).toBe('miss');
  api.statements.length = 0;
  const hit = await open();
  expect(hit.headers['clarin-cache']).toBe('hit');
  expect(hit.text).toBe(miss.text);
  expect(api.statements).toEqual([]);
  expect(await fromCache(chatId, '?limit=50')).toBe('hit');
});

test('other pages, and those of a role that is restricted to devices, come from Postgres', async () => {
  expect(await fromCache(chatId, '?limit=20')).toBe('bypass');
  expect(await fromCache(chatId, `?before=${one.messageIds[2]}`)).toBe('bypass');
  const inside = await restrictedTo(api, one, [one.deviceIds[1]]);
  const outside = await restrictedTo(api, one, [one.deviceIds[0]]);
  await open();
  expect(await fromCache(chatId, '', inside)).toBe('bypass');
  expect((await open(chatId, '', outside)).status).toBe(404);
});

test('a message, a reaction and a vote drop the page of their chat and of no other', async () => {
  const other = one.chatIds[1] ?? 0;
  for (const table of ['messages', 'message_reactions', 'poll_votes']) {
    await Promise.all([open(), open(other)]);
    await change(table, { id: 1, chat_id: chatId });
    expect([table, await fromCache()]).toEqual([table, 'miss']);
    expect([table, await fromCache(other)]).toEqual([table, 'hit']);
  }
});

test('an empty page goes with its chat, and one that was not there comes with it', async () => {
  const [empty = 0] = one.chatIds.slice(3);
  expect((await open(empty)).body.data).toEqual([]);
  expect(await fromCache(empty)).toBe('hit');
  await api.owner.query(sql`delete from public.chats where id = ${empty}`);
  await change('chats', { id: empty });
  expect((await open(empty)).status).toBe(404);
  expect(await fromCache(empty)).toBe('hit');
});

test('verify finds a page that is not what Postgres says', async () => {
  await Promise.all([open(), open(one.chatIds[1])]);
  const space = { prefix: api.config.redisPrefix };
  const key = accountKeys(space, one.accountId, live.epoch.id).family(pageFamily('messages'));
  const { database, cache, metrics } = api;
  const means = {
    database,
    cache,
    metrics,
    inspector: new CacheInspector({ redis: live.redis, space }),
    log: createLog({ component: 'api', level: 'silent' }),
  };
  const keepPassing = setInterval(() => void live.advance(), 100);
  expect(await verifyAll(means, [one.accountId])).toMatchObject({ incoherent: 0, unjudged: 0 });
  await live.redis.hset(key, String(chatId), '{"data":"forged"}');
  expect(await verifyAll(means, [one.accountId])).toMatchObject({ incoherent: 1, unjudged: 0 });
  clearInterval(keepPassing);
});
