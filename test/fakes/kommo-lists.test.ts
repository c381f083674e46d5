import { describe, expect, it } from 'vitest';
import { START_SECONDS, startAcme, type Acme } from './support.ts';

/** Leads one second apart, named by their number. */
function createLeads({ world, clock }: Acme, count: number): number[] {
  return Array.from({ length: count }, (_, index) => {
    if (index > 0) clock.advance(1_000);
    return world.leads.create({ name: `L${index}` }).id;
  });
}

describe('a list of leads', () => {
  it('has fifty rows unless another limit is asked for, in the order of ids', async () => {
    const acme = await startAcme();
    const ids = createLeads(acme, 60);
    expect((await acme.get('leads')).ids).toEqual(ids.slice(0, 50));
    expect((await acme.get('leads?page=2')).ids).toEqual(ids.slice(50));
    expect((await acme.get('leads?limit=3&page=2')).ids).toEqual(ids.slice(3, 6));
  });

  it('takes 250 rows and refuses 251 with 422, or gives fifty where that is the habit', async () => {
    const acme = await startAcme();
    acme.world.generate({ leads: 300 });
    expect((await acme.get('leads?limit=250')).rows).toHaveLength(250);
    const refused = await acme.get('leads?limit=251');
    expect(refused.status).toBe(422);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    expect(refused.body).toMatchObject({ status: 422, detail: 'Limit 250 per page' });
    acme.world.set({ aboveLimit: 'default' });
    expect((await acme.get('leads?limit=400')).rows).toHaveLength(50);
  });

  it('is 204 without a body when it is empty, and behind its last page', async () => {
    const acme = await startAcme();
    const empty = await acme.get('leads');
    expect([empty.status, empty.text]).toEqual([204, '']);
    createLeads(acme, 2);
    expect((await acme.get('leads?page=2')).status).toBe(204);
  });

  it('refuses a limit, a page, an order and a filter that are none', async () => {
    const { get } = await startAcme();
    const bad = ['limit=0', 'limit=x', 'page=0', 'order[price]=asc', 'order[id]=up'];
    for (const query of [...bad, 'filter[id][]=x', 'filter[updated_at][from]=today']) {
      const answer = await get(`leads?${query}`);
      expect([query, answer.status]).toEqual([query, 400]);
      expect(answer.body).toHaveProperty('validation-errors');
    }
    expect((await get('contacts?order[created_at]=asc')).status).toBe(400);
  });

  it('has a next link with every full page, though the next one may be empty', async () => {
    const acme = await startAcme();
    createLeads(acme, 4);
    const full = await acme.get('leads?limit=2&page=2');
    expect(full.next).toContain('page=3');
    expect((await acme.get('leads?limit=2&page=3')).status).toBe(204);
    expect((await acme.get('leads?limit=3&page=2')).next).toBeUndefined();
  });

  it('has a next link where there is more, always or never, as the account has it', async () => {
    const acme = await startAcme();
    createLeads(acme, 4);
    const nexts = async () => [
      (await acme.get('leads?limit=2&page=1')).next !== undefined,
      (await acme.get('leads?limit=2&page=2')).next !== undefined,
      (await acme.get('leads?limit=50')).next !== undefined,
    ];
    acme.world.set({ nextLink: 'when-more' });
    expect(await nexts()).toEqual([true, false, false]);
    acme.world.set({ nextLink: 'always' });
    expect(await nexts()).toEqual([true, true, true]);
    acme.world.set({ nextLink: 'never' });
    expect(await nexts()).toEqual([false, false, false]);
  });

  it('can be followed by its next links to the end', async () => {
    const acme = await startAcme();
    const ids = createLeads(acme, 7);
    const seen: number[] = [];
    let path: string | undefined = 'leads?limit=3&filter[created_at][from]=1&order[id]=desc';
    while (path !== undefined) {
      const page = await acme.get(path);
      seen.push(...page.ids);
      path = page.next?.replace(`${acme.fake.url}/acme/api/v4/`, '');
    }
    expect(seen).toEqual(ids.toReversed());
  });

  it('can be ordered by each of its times, both ways', async () => {
    const acme = await startAcme();
    const [a = 0, b = 0, c = 0] = createLeads(acme, 3);
    acme.clock.advance(1_000);
    acme.world.leads.update(b, { price: 5 });
    expect((await acme.get('leads?order[updated_at]=asc')).ids).toEqual([a, c, b]);
    expect((await acme.get('leads?order[updated_at]=desc')).ids).toEqual([b, c, a]);
    expect((await acme.get('leads?order[created_at]=desc')).ids).toEqual([c, b, a]);
  });

  it('shifts while it is read: an edit between two pages hides a row from a reader who counts pages', async () => {
    const acme = await startAcme();
    const ids = createLeads(acme, 6);
    const first = await acme.get('leads?limit=3&page=1&order[updated_at]=asc');
    acme.clock.advance(1_000);
    acme.world.leads.update(ids[0] ?? 0, { price: 1 });
    const second = await acme.get('leads?limit=3&page=2&order[updated_at]=asc');
    const missed = ids.filter((id) => ![...first.ids, ...second.ids].includes(id));
    expect(missed).toEqual([ids[3]]);
  });

  it('has rows of one second by id, or in another order with every request', async () => {
    const acme = await startAcme();
    acme.world.generate({ leads: 40 });
    acme.world.bulkEdit('leads', {});
    const read = async () => (await acme.get('leads?order[updated_at]=asc')).ids;
    const byId = await read();
    expect(byId).toEqual(byId.toSorted((one, other) => one - other));
    acme.world.set({ ties: 'shuffled' });
    const [one, other] = [await read(), await read()];
    expect(one).not.toEqual(other);
    expect(new Set(one)).toEqual(new Set(other));
  });
});

describe('filters of leads', () => {
  const from = START_SECONDS;

  it('by ids, in every way to write them', async () => {
    const acme = await startAcme();
    const [a = 0, b = 0, c = 0] = createLeads(acme, 3);
    expect((await acme.get(`leads?filter[id][]=${a}&filter[id][]=${c}`)).ids).toEqual([a, c]);
    expect((await acme.get(`leads?filter[id][0]=${a}&filter[id][1]=${b}`)).ids).toEqual([a, b]);
    expect((await acme.get(`leads?filter%5Bid%5D=${b}`)).ids).toEqual([b]);
    expect((await acme.get('leads?filter[id][]=1')).status).toBe(204);
  });

  it('by the times of a change, of its beginning and its end', async () => {
    const acme = await startAcme();
    const ids = createLeads(acme, 5);
    const [, , third = 0] = ids;
    expect((await acme.get(`leads?filter[updated_at][from]=${from + 3}`)).ids).toEqual(
      ids.slice(3),
    );
    expect((await acme.get(`leads?filter[updated_at][to]=${from + 1}`)).ids).toEqual(
      ids.slice(0, 2),
    );
    const second = `leads?filter[created_at][from]=${from + 2}&filter[created_at][to]=${from + 2}`;
    expect((await acme.get(second)).ids).toEqual([third]);
    acme.clock.advance(10_000);
    acme.world.leads.update(third, { statusId: 142 });
    expect((await acme.get(`leads?filter[closed_at][from]=${from}`)).ids).toEqual([third]);
  });

  it('may leave out the second they name, where the account has it so', async () => {
    const acme = await startAcme({ settings: { isRangeInclusive: false } });
    const ids = createLeads(acme, 3);
    expect((await acme.get(`leads?filter[updated_at][from]=${from}`)).ids).toEqual(ids.slice(1));
  });

  it('by pipeline, by stage and by owner', async () => {
    const acme = await startAcme();
    const { pipelines, leads, users } = acme.world;
    const [, second] = pipelines.list();
    const luis = users.list()[1]?.id ?? 0;
    const a = leads.create({ responsibleUserId: luis }).id;
    const b = leads.create({ pipelineId: second?.id }).id;
    const c = leads.create({ pipelineId: second?.id, statusId: 143 }).id;
    expect((await acme.get(`leads?filter[pipeline_id][]=${second?.id}`)).ids).toEqual([b, c]);
    const stage = `filter[statuses][0][pipeline_id]=${second?.id}&filter[statuses][0][status_id]=143`;
    expect((await acme.get(`leads?${stage}`)).ids).toEqual([c]);
    expect((await acme.get(`leads?filter[responsible_user_id][]=${luis}`)).ids).toEqual([a]);
    const half = await acme.get(`leads?filter[statuses][0][status_id]=143`);
    expect(half.status).toBe(400);
  });

  it('by a search in names and fields', async () => {
    const acme = await startAcme();
    const { id } = acme.world.contacts.create({ name: 'Rosa', phones: ['+51987654321'] });
    acme.world.contacts.create({ name: 'José' });
    expect((await acme.get('contacts?query=987654321')).ids).toEqual([id]);
    expect((await acme.get('contacts?query=ros')).ids).toEqual([id]);
  });

  it('are ignored without a word in an account that has none', async () => {
    const acme = await startAcme({ settings: { areFiltersKnown: false } });
    const ids = createLeads(acme, 3);
    expect((await acme.get(`leads?filter[updated_at][from]=${from + 2}`)).ids).toEqual(ids);
  });
});

describe('what lists leave out', () => {
  it('deleted leads, which only_deleted alone shows, reduced, until they are purged', async () => {
    const acme = await startAcme();
    const [a = 0, b = 0] = createLeads(acme, 2);
    acme.clock.advance(5_000);
    acme.world.leads.delete(a);
    expect((await acme.get('leads')).ids).toEqual([b]);
    expect((await acme.get(`leads?filter[id][]=${a}`)).status).toBe(204);
    const trash = await acme.get('leads?with=only_deleted');
    expect(trash.ids).toEqual([a]);
    const keys = ['_embedded', '_links', 'account_id', 'id', 'is_deleted', 'updated_at'];
    expect(Object.keys(trash.rows[0] ?? {}).toSorted()).toEqual(keys);
    expect(trash.rows[0]).toMatchObject({ is_deleted: true, updated_at: START_SECONDS + 6 });
    expect((await acme.get(`leads/${a}`)).status).toBe(204);
    acme.world.leads.restore(a);
    expect((await acme.get('leads')).ids).toEqual([a, b]);
    acme.world.leads.purge(a);
    expect((await acme.get('leads?with=only_deleted')).status).toBe(204);
    expect((await acme.get(`leads/${a}`)).status).toBe(204);
  });

  it('incoming leads and their contacts, until they are accepted', async () => {
    const acme = await startAcme();
    const { uid, leadId, contactId } = acme.world.unsorted.add({ contact: { name: 'Rosa' } });
    expect((await acme.get('leads')).status).toBe(204);
    expect((await acme.get('contacts')).status).toBe(204);
    expect((await acme.get('leads/unsorted')).rows).toHaveLength(1);
    acme.clock.advance(2_000);
    acme.world.unsorted.accept(uid);
    expect((await acme.get('leads')).rows[0]).toMatchObject({
      id: leadId,
      updated_at: START_SECONDS + 2,
    });
    expect((await acme.get('contacts')).ids).toEqual([contactId]);
    expect((await acme.get('leads/unsorted')).status).toBe(204);
  });

  it('the rows that the user has no right to see any more, one by one too', async () => {
    const acme = await startAcme();
    acme.world.generate({ leads: 200, contacts: 200 });
    acme.world.set({ hiddenShare: 0.3 });
    const seen = await acme.get('leads?limit=250');
    expect(seen.rows.length).toBeGreaterThan(100);
    expect(seen.rows.length).toBeLessThan(180);
    const hidden = [...acme.world.leads.all()].find(({ id }) => !seen.ids.includes(id));
    expect((await acme.get(`leads/${hidden?.id}`)).status).toBe(204);
    expect((await acme.get('leads?limit=250')).ids).toEqual(seen.ids);
    expect((await acme.get('contacts?limit=250')).rows.length).toBeLessThan(180);
    acme.world.set({ hiddenShare: 0 });
    expect((await acme.get('leads?limit=250')).rows).toHaveLength(200);
  });

  it('what has just changed, for a while: a row alone is as it is at once', async () => {
    const acme = await startAcme();
    const [a = 0, b = 0] = createLeads(acme, 2);
    acme.world.set({ listDelayMs: [2_000, 3_000] });
    acme.world.leads.update(a, { price: 7 });
    acme.world.leads.delete(b);
    const late = acme.world.leads.create({ name: 'late' }).id;
    expect((await acme.get(`leads/${a}`)).body).toMatchObject({ price: 7 });
    const before = await acme.get('leads');
    expect(before.ids).toEqual([a, b]);
    expect(before.rows[0]).toMatchObject({ price: 0, updated_at: START_SECONDS });
    acme.clock.advance(3_000);
    const after = await acme.get('leads');
    expect(after.ids).toEqual([a, late]);
    // It says when it was changed, not when that was seen.
    expect(after.rows[0]).toMatchObject({ price: 7, updated_at: START_SECONDS + 1 });
    expect((await acme.get('leads?with=only_deleted')).ids).toEqual([b]);
  });
});
