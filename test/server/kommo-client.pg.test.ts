import { beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/services.ts';
import {
  failure,
  openKommoTestWorld,
  type FreshAccount,
  type KommoTestWorld,
  type Talker,
} from './kommo-means.ts';

let world: KommoTestWorld;
let talker: Talker;

beforeAll(async () => {
  // What Kommo's limiter does has tests of its own.
  world = await openKommoTestWorld({ limiter: { perSecond: 100_000 } });
  talker = world.talker({ config: { requestsPerSecond: 500 } });
});

const fresh = (): Promise<FreshAccount> => world.fresh(talker);

describe('a list', () => {
  test('is asked for as the query says, and gives rows with what we do not know of them', async () => {
    const { kommo, client, asked } = await fresh();
    const contact = kommo.contacts.create({ name: 'Rosa' });
    const lead = kommo.leads.create({
      name: 'One',
      price: 5,
      tags: ['VIP'],
      contactIds: [contact.id],
    });
    const page = await client.leads(
      {
        limit: 10,
        page: 1,
        order: { by: 'updated_at', direction: 'asc' },
        with: ['contacts', 'loss_reason'],
        filter: {
          updatedFrom: 5,
          updatedTo: 4_000_000_000,
          createdFrom: 6,
          pipelineIds: [lead.pipelineId],
        },
      },
      'poll',
    );
    expect(page.rows).toMatchObject([
      { id: lead.id, name: 'One', price: 5, group_id: 0, _embedded: { tags: [{ name: 'VIP' }] } },
    ]);
    expect(page.isFull).toBe(false);
    expect(Object.fromEntries(asked('leads')[0] ?? [])).toEqual({
      limit: '10',
      page: '1',
      'order[updated_at]': 'asc',
      with: 'contacts,loss_reason',
      'filter[updated_at][from]': '5',
      'filter[updated_at][to]': '4000000000',
      'filter[created_at][from]': '6',
      'filter[pipeline_id][]': String(lead.pipelineId),
    });
  });

  test('tells the time by the clock of Kommo', async () => {
    const { client, fault } = await fresh();
    const before = Math.floor(Date.now() / 1_000);
    const now = (await client.leads({}, 'poll')).serverSeconds;
    expect(now - before).toBeGreaterThanOrEqual(0);
    fault({ does: { kind: 'clock-offset', seconds: -86_400 } });
    const then = (await client.leads({}, 'poll')).serverSeconds;
    expect(then - before).toBeLessThan(-80_000);
  });

  test('without rows is empty, and full pages say that there may be more', async () => {
    const { kommo, client } = await fresh();
    expect((await client.contacts({}, 'poll')).rows).toEqual([]);
    for (let number = 0; number < 4; number++) kommo.contacts.create({ name: `C${number}` });
    expect((await client.contacts({ limit: 4 }, 'poll')).isFull).toBe(true);
    expect((await client.contacts({ limit: 5 }, 'poll')).isFull).toBe(false);
    expect((await client.contacts({ limit: 4, page: 2 }, 'poll')).rows).toEqual([]);
  });

  test('that was given with fewer rows than asked for is full when it speaks of a next page', async () => {
    const { kommo, client } = await fresh();
    kommo.set({ eventsPerPageMax: 60 });
    for (let number = 0; number < 70; number++) kommo.leads.create({ name: `L${number}` });
    const page = await client.events({ filter: { types: ['lead_added'] } }, 'poll');
    expect([page.rows.length, page.isFull]).toEqual([60, true]);
    expect(page.rows[0]).toMatchObject({ type: 'lead_added', entity_type: 'lead' });
    const rest = await client.events({ page: 2, filter: { types: ['lead_added'] } }, 'poll');
    expect([rest.rows.length, rest.isFull]).toEqual([10, false]);
  });

  test('of many ids is asked for in pieces of a hundred, of none not at all', async () => {
    const { kommo, client, asked } = await fresh();
    const ids = Array.from({ length: 230 }, (_, n) => kommo.leads.create({ name: `L${n}` }).id);
    const page = await client.leads({ limit: 50, page: 3, filter: { ids } }, 'hint');
    expect(new Set(page.rows.map(({ id }) => id))).toEqual(new Set(ids));
    expect(page.isFull).toBe(false);
    expect(asked('leads').map((query) => query.getAll('filter[id][]').length)).toEqual([
      100, 100, 30,
    ]);
    await expect(client.leads({ filter: { ids: [] } }, 'hint')).rejects.toThrow(RangeError);
    expect(client.requests()).toBe(3);
  });

  test('of deleted leads shows what is left of them', async () => {
    const { kommo, client } = await fresh();
    const [kept, gone] = [kommo.leads.create({ name: 'a' }), kommo.leads.create({ name: 'b' })];
    kommo.leads.delete(gone.id);
    const { rows } = await client.deletedLeads({}, 'poll');
    expect(rows).toMatchObject([{ id: gone.id, is_deleted: true }]);
    expect((await client.leads({}, 'poll')).rows).toMatchObject([{ id: kept.id }]);
  });

  test('of tags, people or pipelines is read to its end', async () => {
    const { kommo, client, asked } = await fresh();
    const before = kommo.tags.list('leads').length;
    for (let number = 0; number < 510; number++) kommo.tags.add('leads', `tag ${number}`);
    expect(await client.tags('leads', 'poll')).toHaveLength(before + 510);
    expect(asked('leads/tags')).toHaveLength(3);
    expect(await client.tags('contacts', 'poll')).toHaveLength(kommo.tags.list('contacts').length);
    expect(await client.users('poll')).toHaveLength(kommo.users.list().length);
    const pipelines = await client.pipelines('poll');
    expect(pipelines).toHaveLength(kommo.pipelines.list().length);
    expect(pipelines[0]?._embedded.statuses.map(({ id }) => id)).toEqual(
      expect.arrayContaining([142, 143]),
    );
  });

  test('of people is undefined for who is no administrator there', async () => {
    const { kommo, client } = await fresh();
    kommo.set({ isAdministrator: false });
    expect(await client.users('poll')).toBeUndefined();
  });
});

describe('a single row', () => {
  test('is given, or not when it is not there', async () => {
    const { kommo, client } = await fresh();
    const contact = kommo.contacts.create({ name: 'Rosa' });
    const lead = kommo.leads.create({ name: 'One', contactIds: [contact.id] });
    expect(await client.lead(lead.id, 'hint')).toMatchObject({
      id: lead.id,
      _embedded: { contacts: [{ id: contact.id }], loss_reason: [] },
    });
    expect(await client.contact(contact.id, 'hint')).toMatchObject({
      id: contact.id,
      name: 'Rosa',
    });
    expect(await client.lead(lead.id + 1, 'hint')).toBeUndefined();
    expect(await client.contact(contact.id + 1, 'hint')).toBeUndefined();
  });

  test('that answers 404 is not there, unless the whole account is not', async () => {
    const { kommo, client, fault } = await fresh();
    const { id } = kommo.leads.create({ name: 'One' });
    fault({ endpoint: 'leads/{id}', does: { kind: 'status', status: 404 } });
    expect(await client.lead(id, 'hint')).toBeUndefined();
    fault({ endpoint: 'account', does: { kind: 'status', status: 404 } });
    expect(await failure(client.lead(id, 'hint'))).toMatchObject({ kind: 'not_found' });
  });

  test('of the account is who it is', async () => {
    const { kommo, client } = await fresh();
    expect(await client.account('interactive')).toMatchObject({
      id: kommo.id,
      subdomain: kommo.subdomain,
      currency: 'PEN',
    });
  });
});

describe('a refusal', () => {
  test.each([
    [400, 'json', 'rejected'],
    [402, 'json', 'payment_required'],
    [403, 'json', 'forbidden'],
    [404, 'json', 'not_found'],
    [405, 'json', 'rejected'],
    [422, 'json', 'rejected'],
    [401, 'json', 'needs_reauth'],
  ] as const)('of status %d in %s is %s and is not tried again', async (status, as, kind) => {
    const { client, asked, fault } = await fresh();
    fault({ endpoint: 'leads', does: { kind: 'status', status, as } });
    const error = await failure(client.leads({}, 'poll'));
    expect(error).toMatchObject({ name: 'KommoError', kind, status });
    expect(error.requestId).toMatch(/.{8}/);
    expect(asked('leads')).toHaveLength(1);
  });

  test('of a request of ours is logged with what Kommo says and the number of the request', async () => {
    const { client, fault } = await fresh();
    fault({ endpoint: 'contacts', does: { kind: 'status', status: 422 } });
    const error = await failure(client.contacts({}, 'poll'));
    expect(error.message).toContain('This answer was asked for.');
    const line = world.lines
      .map((text) => JSON.parse(text))
      .find((each) => each.request === error.requestId);
    expect(line).toMatchObject({
      level: 50,
      request: error.requestId,
      detail: 'This answer was asked for.',
    });
    expect(line.path).toContain('/api/v4/contacts?limit=250');
  });
});

describe('what may pass', () => {
  const passing = [
    ['500', { kind: 'status', status: 500 }, 'unavailable'],
    ['a page with 502', { kind: 'status', status: 502, as: 'html' }, 'unavailable'],
    ['503', { kind: 'status', status: 503 }, 'unavailable'],
    ['a page with 200', { kind: 'status', status: 200, as: 'html' }, 'malformed'],
    ['a connection that is reset', { kind: 'reset' }, 'unavailable'],
    ['a body that is cut', { kind: 'cut' }, 'unavailable'],
    ['a body that was cut and looks whole', { kind: 'cut', as: 'whole' }, 'malformed'],
    ['what is no JSON', { kind: 'invalid-json' }, 'malformed'],
  ] as const;

  test.each(passing)('%s is tried four times', async (_name, does, kind) => {
    const { kommo, client, asked, fault } = await fresh();
    kommo.leads.create({ name: 'One' });
    fault({ endpoint: 'leads', does });
    expect(await failure(client.leads({}, 'poll'))).toMatchObject({ kind });
    expect(asked('leads')).toHaveLength(4);
    expect(client.requests()).toBe(4);
  });

  test.each(passing)('%s does no harm when it is over', async (_name, does) => {
    const { kommo, client, fault } = await fresh();
    const { id } = kommo.leads.create({ name: 'One' });
    fault({ endpoint: 'leads', does, times: 3 });
    expect((await client.leads({}, 'poll')).rows).toMatchObject([{ id }]);
  });

  test('an answer of another content type is read all the same', async () => {
    const { kommo, client, fault } = await fresh();
    const { id } = kommo.leads.create({ name: 'One' });
    fault({ endpoint: 'leads', does: { kind: 'content-type', value: 'text/html' } });
    expect((await client.leads({}, 'poll')).rows).toMatchObject([{ id }]);
  });

  test('a page that takes Kommo too long is for the caller to make smaller, who counts by it', async () => {
    const { client, asked, fault } = await fresh();
    fault({ endpoint: 'leads', does: { kind: 'status', status: 504, as: 'html' } });
    const error = await failure(client.leads({ limit: 250 }, 'poll'));
    expect(error).toMatchObject({ kind: 'unavailable', status: 504 });
    expect(asked('leads')).toHaveLength(1);
    await failure(client.leads({ limit: 50 }, 'poll'));
    expect(asked('leads')).toHaveLength(5);
  });

  test('pages that nobody counts by become smaller, and stay so', async () => {
    const { kommo, client, asked, fault } = await fresh();
    for (let number = 0; number < 60; number++) kommo.tags.add('contacts', `tag ${number}`);
    fault({ endpoint: 'contacts/tags', does: { kind: 'status', status: 504 }, times: 2 });
    const all = kommo.tags.list('contacts').length;
    expect(await client.tags('contacts', 'poll')).toHaveLength(all);
    const limits = asked('contacts/tags').map((query) => query.get('limit'));
    expect(limits.slice(0, 4)).toEqual(['250', '125', '50', '50']);
    await client.tags('leads', 'poll');
    expect(asked('leads/tags').map((query) => query.get('limit'))).toEqual(['250']);
  });

  test('ids that take Kommo too long are asked for in smaller pieces', async () => {
    const { kommo, client, asked, fault } = await fresh();
    const ids = Array.from({ length: 100 }, (_, n) => kommo.contacts.create({ name: `C${n}` }).id);
    fault({ endpoint: 'contacts', does: { kind: 'status', status: 504 }, times: 2 });
    const { rows } = await client.contacts({ filter: { ids } }, 'hint');
    expect(new Set(rows.map(({ id }) => id))).toEqual(new Set(ids));
    const sizes = asked('contacts').map((query) => query.getAll('filter[id][]').length);
    expect(sizes).toEqual([100, 50, 25, 25, 50]);
  });
});

describe('an account that was renamed', () => {
  test('is found again under its new name', async () => {
    const { kommo, client, connection } = await fresh();
    const { id } = kommo.leads.create({ name: 'One' });
    await client.leads({}, 'poll');
    kommo.rename(`${connection.subdomain}-now`);
    expect(client.subdomain()).toBe(connection.subdomain);
    expect((await client.leads({}, 'poll')).rows).toMatchObject([{ id }]);
    expect(client.subdomain()).toBe(`${connection.subdomain}-now`);
    kommo.rename(`${connection.subdomain}-later`);
    expect(await client.lead(id, 'hint')).toMatchObject({ id });
    expect(client.subdomain()).toBe(`${connection.subdomain}-later`);
  });
});

describe('who is told to stop', () => {
  test('no longer waits for his turn, or for an answer', async () => {
    const slow = world.talker({ config: { egress: 'slow', requestsPerSecond: 0.5 } });
    const { connection, asked, fault } = await world.fresh(slow);
    fault({ endpoint: 'leads', does: { kind: 'latency', ms: 60_000 } });
    const stopping = new AbortController();
    const client = slow.client(connection, stopping.signal);
    const answer = failure(client.leads({}, 'poll'));
    await eventually(() => asked('leads').length === 1);
    // Two seconds behind that one.
    const turn = failure(client.contacts({}, 'poll'));
    stopping.abort(new Error('it stops'));
    expect([(await answer).message, (await turn).message]).toEqual(['it stops', 'it stops']);
    await expect(client.leads({}, 'poll')).rejects.toThrow('it stops');
    expect(asked()).toHaveLength(1);
  });
});
