import { beforeAll, describe, expect, test } from 'vitest';
import { listFamily } from '../../domain/cache-key.ts';
import { CacheInspector } from '../../platform/cache/inspect.ts';
import { sql } from '../../platform/sql.ts';
import { loadEntry } from '../../server/api/rest/loaders.ts';
import { openLiveCache, type LiveCache } from './live-cache.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';
import { idsOf } from '../support/conversation-fixture.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
/** Pairs of each number and of each address, in the order of their keys. */
let people: number[];
let live: LiveCache;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  people = await idsOf(
    api.owner,
    sql`
      insert into public.contacts (account_id, name, phone, email)
      values
        (${one.accountId}, 'A', '5215512345678', 'Ana@example.com'), (${one.accountId}, 'B', '525512345678', 'x@example.com'),
        (${one.accountId}, 'C', '5491123456789', 'ana@EXAMPLE.com'), (${one.accountId}, 'D', '541123456789', ''),
        (${one.accountId}, 'E', '5511987654321', 'bob@example.com'), (${one.accountId}, 'F', '551187654321', ''),
        (${one.accountId}, 'G', '', 'Bob@example.com'), (${one.accountId}, 'H', '', null),
        (${two.accountId}, 'I', '525512345678', 'ana@example.com')
      returning id`,
  );
  live = await openLiveCache(api.owner, api.config.redisUrl, api.config.redisPrefix);
});

const get = (path: string, caller: { token: string } = one) => api.ask(caller, 'GET', path);
type Group = { key: string; total: number; contacts: { id: number }[]; leads: { id: number }[] };
const idsIn = (groups: Group[], rows: 'contacts' | 'leads') =>
  groups.map((group) => group[rows].map(({ id }) => id));

describe('duplicates of contacts', () => {
  const path = '/api/contacts/duplicates';

  test('share a number, whichever way it is dialled, and are shown as the list shows them', async () => {
    api.statements.length = 0;
    const { status, body } = await get(path);
    expect(status).toBe(200);
    expect(api.statements.filter((text) => text.includes('phone_key'))).toHaveLength(1);
    expect(idsIn(body.data, 'contacts')).toEqual([
      people.slice(0, 2),
      people.slice(2, 4),
      people.slice(4, 6),
    ]);
    expect(body.data[0]).toMatchObject({ key: '525512345678', total: 2 });
    const shown = await get(`/api/contacts/${people[0]}`);
    expect(body.data[0].contacts[0]).toEqual(shown.body.data);
  });

  test('share an address, whichever case it is in; blanks are none', async () => {
    const { body } = await get(`${path}?by=email`);
    expect(body.data.map(({ key }: Group) => key)).toEqual(['ana@example.com', 'bob@example.com']);
    expect(idsIn(body.data, 'contacts')).toEqual([
      [people[0], people[2]],
      [people[4], people[6]],
    ]);
  });

  test('are of one account', async () => {
    expect((await get(path, two)).body).toEqual({ data: [], limit: 20 });
  });

  test('come in pages, each group once', async () => {
    for (const by of ['phone', 'email']) {
      const all = (await get(`${path}?by=${by}`)).body.data;
      const paged: Group[] = [];
      let next: string | undefined = '';
      while (next !== undefined) {
        const page: { body: { data: Group[]; next_cursor?: string } } = await get(
          `${path}?by=${by}&limit=1${next === '' ? '' : `&cursor=${next}`}`,
        );
        paged.push(...page.body.data);
        next = page.body.next_cursor;
      }
      expect(paged).toEqual(all);
    }
  });

  test('are not found by a cursor, a limit or a kind there is none of', async () => {
    const phones = await get(`${path}?limit=1`);
    for (const query of [
      'cursor=x',
      `by=email&cursor=${phones.body.next_cursor}`,
      'limit=0',
      'limit=101',
      'by=open_lead',
    ]) {
      expect({ query, status: (await get(`${path}?${query}`)).status }).toEqual({
        query,
        status: 400,
      });
    }
    const caller = { token: await api.tokenOf(one, ['leads']) };
    expect((await get(path, caller)).status).toBe(403);
  });

  test('are cached with the lists of contacts, and verified by their name alone', async () => {
    const query = `${path}?limit=2&by=email`;
    const miss = await get(query);
    const hit = await get(query);
    expect([miss.headers['clarin-cache'], hit.headers['clarin-cache']]).toEqual(['miss', 'hit']);
    const family = listFamily('contacts');
    const inspector = new CacheInspector({
      redis: live.redis,
      space: { prefix: api.config.redisPrefix },
    });
    const name = {
      accountId: one.accountId,
      family,
      field: 'duplicates?by=email&limit=2',
    };
    expect(
      await inspector.readEntry(one.accountId, live.epoch.id, family, name.field),
    ).toMatchObject({ body: hit.text });
    expect(await loadEntry(api.database, name)).toBe(hit.text);
  });
});

describe('duplicates of leads', () => {
  const path = '/api/leads/duplicates';
  const lead = async (contactId: number | undefined, stage = one.stages.active[0]) =>
    (
      await api.ask(one, 'POST', '/api/leads', {
        body: { title: 'Twice', contact_id: contactId, stage_id: stage },
      })
    ).body.data.id as number;

  test('are open ones of one contact in one pipeline', async () => {
    const [contact, other] = people;
    const mine = [await lead(contact), await lead(contact, one.stages.active[1])];
    const won = await lead(contact, one.stages.won);
    const trashed = await lead(contact);
    await api.ask(one, 'DELETE', `/api/leads/${trashed}`);
    const pipeline = await api.ask(one, 'POST', '/api/pipelines', { body: { name: 'Other' } });
    const stage = await api.ask(one, 'POST', '/api/pipeline_stages', {
      body: { pipeline_id: pipeline.body.data.id, name: 'New' },
    });
    await lead(other);
    await lead(other, stage.body.data.id);
    await live.invalidate(one.accountId, { [listFamily('leads')]: 'all' });
    const { body } = await get(path);
    const groups = body.data as (Group & { contact_id: number; pipeline_id: number })[];
    const group = groups.find(({ contact_id }) => contact_id === contact);
    expect(group).toMatchObject({ pipeline_id: one.pipelineId, total: 2 });
    expect(group?.leads.map(({ id }) => id)).toEqual(mine);
    expect(groups.some(({ contact_id }) => contact_id === other)).toBe(false);
    expect(JSON.stringify(groups)).not.toContain(`"id":${won},`);
    expect(group?.leads[0]).toEqual((await get(`/api/leads/${mine[0]}`)).body.data);
  });

  test('come in pages, each group of contact and pipeline once', async () => {
    const contact = people[4];
    const pipeline = await api.ask(one, 'POST', '/api/pipelines', { body: { name: 'Second' } });
    const stage = await api.ask(one, 'POST', '/api/pipeline_stages', {
      body: { pipeline_id: pipeline.body.data.id, name: 'New' },
    });
    for (const stageId of [one.stages.active[0], stage.body.data.id])
      for (const _ of [1, 2]) await lead(contact, stageId);
    await live.invalidate(one.accountId, { [listFamily('leads')]: 'all' });
    const all = (await get(path)).body.data as { contact_id: number; pipeline_id: number }[];
    const own = all.filter(({ contact_id }) => contact_id === contact);
    expect(own.map(({ pipeline_id }) => pipeline_id)).toEqual([
      one.pipelineId,
      pipeline.body.data.id,
    ]);
    const paged: unknown[] = [];
    let cursor = '';
    for (;;) {
      const { body } = await get(`${path}?limit=1${cursor}`);
      paged.push(...body.data);
      if (body.next_cursor === undefined) break;
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(paged).toEqual(all);
  });
});
