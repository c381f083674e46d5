import { afterAll, beforeAll, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually, startRedis, type TestRedis } from '../support/services.ts';
import { openLiveCache } from './live-cache.ts';
import { writeEverything } from './every-write.ts';
import { givePassword, startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

/** Questions with a body: they read, and their answers say of when they are. */
const READS = ['POST /api/campaigns/{id}/preview'];

let api: TestApi;
let redis: TestRedis;
let one: Caller;
let username: string;

beforeAll(async () => {
  redis = await startRedis();
  api = await startTestApi({ redisUrl: redis.url });
  one = await api.account('one');
  username = await givePassword(api.owner, one.userId);
  await api.owner.query(
    sql`update public.users set is_super_admin = true where id = ${one.userId}`,
  );
  one = { ...one, token: await api.tokenOf(one) };
});

afterAll(() => redis.stop());

async function writeAll(n: number): Promise<Map<string, Answer>> {
  const answers = await writeEverything({ api, caller: one, username, n });
  one = { ...one, token: await api.tokenOf(one) };
  return answers;
}

function expectAllDone(answers: Map<string, Answer>): void {
  for (const [route, { status, text }] of answers) {
    expect({ route, status, text: status < 300 ? '' : text }).toEqual({
      route,
      status: expect.toSatisfy((s: number) => s < 300),
      text: '',
    });
  }
}

test('no write touches Redis, on any writing route there is', async () => {
  await openLiveCache(api.owner, redis.url, api.config.redisPrefix);
  const watcher = api.redis.duplicate({ lazyConnect: false, enableOfflineQueue: true });
  const monitor = await watcher.monitor();
  const seen: string[][] = [];
  const own = await api.redis.client('INFO');
  const address = /\baddr=(\S+)/.exec(String(own))?.[1];
  monitor.on('monitor', (_time: string, words: string[], source: string) => {
    if (source === address) seen.push(words);
  });
  await api.redis.ping();
  const answers = await writeAll(1);
  // On the same connection: once it is seen, so is everything before it.
  await api.redis.ping('done');
  await eventually(() => seen.some((words) => words.includes('done')), {
    says: 'what the API sends is seen',
  });
  monitor.disconnect();
  watcher.disconnect();
  expectAllDone(answers);

  const documented = Object.entries(
    (await api.ask(undefined, 'GET', '/docs/json')).body.paths as Record<string, object>,
  )
    .flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    .filter((route) => !route.startsWith('GET'));
  expect([...answers.keys(), ...READS].toSorted()).toEqual(documented.toSorted());

  expect(seen.filter(([name]) => name?.toLowerCase() !== 'ping')).toEqual([]);
});

test('every write works while Redis is away', async () => {
  await redis.stop();
  expectAllDone(await writeAll(2));
  const read = await api.ask(one, 'GET', '/api/leads');
  expect([read.status, read.headers['clarin-cache']]).toEqual([200, 'bypass']);
  await redis.start();
});
