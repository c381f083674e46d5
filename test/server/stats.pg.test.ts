import { beforeAll, describe, expect, test } from 'vitest';
import { DASHBOARD, PIPELINE_COUNTS } from '../../domain/cache-key.ts';
import { sql } from '../../platform/sql.ts';
import { loadEntry } from '../../server/api/rest/loaders.ts';
import { dashboardKey, parseDashboardKey, readDashboard } from '../../server/api/rest/stats.ts';
import { openLiveCache, type LiveCache } from './live-cache.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let live: LiveCache;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  live = await openLiveCache(api.owner, api.config.redisUrl, api.config.redisPrefix);
});

const get = (path: string, caller: { token: string } = one) => api.ask(caller, 'GET', path);
/** Counts at a moment, as somebody who sees everything. */
async function countAt(moment: string, accountId = one.accountId) {
  const body = await readDashboard(api.database, { accountId, moment, sees: () => true });
  return JSON.parse(body ?? 'null').data;
}
const NOON = '2026-03-10T17:00Z';

async function addMessages(rows: readonly [sentAt: string, isFromMe: boolean, status: string][]) {
  for (const [sentAt, isFromMe, status] of rows) {
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, is_from_me, status, sent_at)
      values (${one.accountId}, ${one.chatIds[3]}, ${isFromMe}, ${status}, ${sentAt})`);
  }
}

describe('the dashboard', () => {
  test('counts what the lists count, from one statement', async () => {
    await get('/api/auth/me');
    api.statements.length = 0;
    const { status, body } = await get('/api/stats');
    expect(status).toBe(200);
    expect(api.statements).toHaveLength(1);
    const total = async (path: string) => (await get(path)).body.total as number;
    expect(body.data.contacts.total).toBe(await total('/api/contacts?limit=1'));
    expect(body.data.chats).toMatchObject({
      total: await total('/api/chats?limit=1'),
      unread: await total('/api/chats?limit=1&unread=true'),
    });
    expect(body.data.leads.total).toBe(await total('/api/leads?limit=1'));
    for (const state of ['open', 'won', 'lost'])
      expect(body.data.leads[state].leads).toBe(await total(`/api/leads?limit=1&status=${state}`));
    expect(body.data.devices).toEqual({ total: 2, statuses: { connected: 2 } });
  });

  test('counts messages of the day where the account is', async () => {
    await api.ask(one, 'PATCH', '/api/account', { body: { timezone: 'America/Lima' } });
    await addMessages([
      ['2026-03-10T04:59:59Z', false, 'received'],
      ['2026-03-10T05:00:00Z', false, 'received'],
      ['2026-03-11T04:59:59Z', false, 'read'],
      ['2026-03-11T05:00:00Z', false, 'received'],
      ['2026-03-10T12:00:00Z', true, 'delivered'],
      ['2026-03-10T12:00:00Z', true, 'pending'],
      ['2026-03-10T12:00:00Z', true, 'failed'],
    ]);
    expect(await countAt(NOON)).toMatchObject({
      timezone: 'America/Lima',
      day_began_at: '2026-03-10T05:00:00.000000Z',
      messages: { received_today: 2, sent_today: 1 },
    });
    await api.ask(one, 'PATCH', '/api/account', { body: { timezone: 'UTC' } });
    expect((await countAt(NOON)).messages).toEqual({ received_today: 2, sent_today: 1 });
    expect((await countAt('2026-03-11T17:00Z')).messages.received_today).toBe(2);
  });

  test('knows days of 23 and of 25 hours, and takes a zone it does not know for UTC', async () => {
    const { accountId } = one;
    const between = async (zone: string, moment: string) => {
      await api.owner.query(
        sql`update public.accounts set timezone = ${zone} where id = ${accountId}`,
      );
      const [row] = await api.owner.query(sql`
        select clarin.start_of_day(clarin.start_of_day(${moment}, ${zone}) + interval '36 hours', ${zone})
          - clarin.start_of_day(${moment}, ${zone}) as hours`);
      expect((await countAt(moment)).timezone).toBe(zone);
      return row?.['hours'];
    };
    expect(await between('Europe/Madrid', '2026-03-29T10:00Z')).toBe('23:00:00');
    expect(await between('Europe/Madrid', '2026-10-25T10:00Z')).toBe('1 day 01:00:00');
    expect(await between('Nowhere/Else', '2026-10-25T10:00Z')).toBe('1 day');
  });

  test('counts what is due today and what was due before', async () => {
    await api.owner.query(
      sql`update public.accounts set timezone = 'UTC' where id = ${one.accountId}`,
    );
    for (const at of [
      '2026-03-09T23:59:59Z',
      '2026-03-10T00:00:00Z',
      '2026-03-10T23:59:59Z',
      '2026-03-11T00:00:00Z',
    ])
      await api.ask(one, 'POST', '/api/interactions', {
        body: { kind: 'call', contact_id: one.contactIds[0], next_action_at: at },
      });
    expect((await countAt(NOON)).interactions).toEqual({ due_today: 2, overdue: 1 });
  });

  test('has no parts that the role may not see, and no rows of devices it does not', async () => {
    const nobody = { token: await api.tokenOf(one, []) };
    const { body } = await get('/api/stats', nobody);
    expect(Object.keys(body.data)).toEqual(['timezone', 'day_began_at']);
    const narrow = { token: await api.tokenOf(one, ['chats', 'devices']) };
    await api.owner.query(sql`
      update public.roles set device_ids = array[${one.deviceIds[0]}::bigint]
      where account_id = ${one.accountId} and permissions = '{chats,devices}'`);
    const seen = await get('/api/stats', narrow);
    expect(seen.headers['clarin-cache']).toBe('bypass');
    expect(Object.keys(seen.body.data).slice(2)).toEqual(['chats', 'messages', 'devices']);
    expect(seen.body.data.devices.total).toBe(1);
    expect(seen.body.data.chats.total).toBe(2);
    expect((await get('/api/stats', { token: 'x' })).status).toBe(401);
  });

  test('is cached for who sees everything, by the quarter of an hour, and counted again the same', async () => {
    expect((await get('/api/stats', two)).headers['clarin-cache']).toBe('miss');
    const hit = await get('/api/stats', two);
    expect(hit.headers['clarin-cache']).toBe('hit');
    const key = `${api.config.redisPrefix}:{a:${two.accountId}}:${live.epoch.id}:f:${DASHBOARD}`;
    const fields = (await live.redis.hkeys(key)).filter((name) => !name.startsWith('#'));
    expect(fields.length).toBeGreaterThan(0);
    for (const field of fields) {
      const name = { accountId: two.accountId, family: DASHBOARD, field };
      expect(await loadEntry(api.database, name)).toBe(await live.redis.hget(key, field));
    }
  });

  test('is named by the quarter, and by nothing that is none', () => {
    const at = Date.parse('2026-11-24T18:29:59.999Z');
    expect(dashboardKey(at)).toBe('dashboard?2026-11-24T18:15Z');
    expect(parseDashboardKey(dashboardKey(at))).toBe('2026-11-24T18:15Z');
    for (const text of ['dashboard?', 'dashboard?2026-13-24T18:15Z', 'list?', ''])
      expect(parseDashboardKey(text)).toBeUndefined();
  });
});

describe("pipelines' counts", () => {
  test('are leads and their value per stage, each currency by itself', async () => {
    const pipeline = (await api.ask(two, 'POST', '/api/pipelines', { body: { name: 'Counted' } }))
      .body.data;
    const stageId = pipeline.stages[0].id;
    for (const lead of [
      { value: 10.5, currency: 'PEN' },
      { value: 2, currency: 'PEN' },
      { value: 7, currency: 'USD' },
    ]) {
      const body = { title: 'x', contact_id: two.contactIds[0], stage_id: stageId, ...lead };
      await api.ask(two, 'POST', '/api/leads', { body });
    }
    const archived = await api.ask(two, 'POST', '/api/leads', {
      body: { title: 'x', contact_id: two.contactIds[0], stage_id: stageId, value: 99 },
    });
    await api.ask(two, 'POST', `/api/leads/${archived.body.data.id}/archive`);
    await live.invalidate(two.accountId, { [PIPELINE_COUNTS]: 'all' });
    const miss = await get('/api/pipelines/counts', two);
    expect(miss.status).toBe(200);
    const counted = miss.body.data.find(({ id }: { id: number }) => id === pipeline.id);
    expect(counted).toMatchObject({ name: 'Counted' });
    expect(counted.stages).toHaveLength(2);
    expect(counted.stages[0]).toMatchObject({
      id: stageId,
      type: 'won',
      leads: 3,
      values: { PEN: 12.5, USD: 7 },
    });
    expect(counted.stages[1]).toMatchObject({ leads: 0, values: {} });
    const hit = await get('/api/pipelines/counts', two);
    expect([hit.headers['clarin-cache'], hit.text]).toEqual(['hit', miss.text]);
    const name = { accountId: two.accountId, family: PIPELINE_COUNTS, field: 'all' };
    expect(await loadEntry(api.database, name)).toBe(hit.text);
  });

  test('are of one account, and for who may see leads', async () => {
    const { body } = await get('/api/pipelines/counts');
    expect(body.data.map(({ id }: { id: number }) => id)).toEqual([one.pipelineId]);
    const narrow = { token: await api.tokenOf(one, ['pipelines']) };
    expect((await get('/api/pipelines/counts', narrow)).status).toBe(403);
  });
});
