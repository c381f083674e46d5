import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startCampaignWorld, type CampaignWorld } from './campaign-world.ts';
import { restrictedTo } from './restricted-role.ts';

let world: CampaignWorld;

beforeAll(async () => {
  world = await startCampaignWorld();
});

const FUTURE = '2099-01-01T10:00:00Z';

const api = () => world.api;

describe('drafting', () => {
  test('writes down who drafted it; what it cannot be is not taken', async () => {
    const body = { name: 'News', template: 'Hello', device_id: world.deviceId };
    const { status, body: made, headers } = await world.ask('POST', '/api/campaigns', body);
    expect(status).toBe(201);
    expect(headers['location']).toBe(`/api/campaigns/${made.data.id}`);
    expect(made.data).toMatchObject({ status: 'draft', created_by: world.one.userId });
    for (const member of [
      { status: 'running' },
      { next_at: FUTURE },
      { created_by: 1 },
      { day: '2026-01-01' },
    ])
      expect((await world.ask('POST', '/api/campaigns', { ...body, ...member })).status).toBe(400);
    const shown = JSON.stringify(made.data);
    for (const hidden of ['batch_count', 'day_count', 'last_claimed_at'])
      expect(shown).not.toContain(hidden);
  });

  test('refuses a template that would be sent with braces, at its making and later', async () => {
    const body = { name: 'News', template: 'Hello {{first name}}' };
    const answer = await world.ask('POST', '/api/campaigns', body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toContain('body.template: holds {{ }}');
    const id = await world.draft();
    expect((await world.patch(id, { template: 'Hello {{name' })).status).toBe(400);
  });

  test('of a device of another account, or delays the wrong way round, is refused', async () => {
    const body = { name: 'News', template: 'Hello' };
    const [foreign] = world.two.deviceIds;
    for (const values of [{ device_id: foreign }, { delay_seconds_min: 9, delay_seconds_max: 3 }])
      expect((await world.ask('POST', '/api/campaigns', { ...body, ...values })).status).toBe(422);
  });
});

describe('changing', () => {
  test('is for campaigns that do not run and are not over', async () => {
    const id = await world.draft();
    for (const status of ['draft', 'paused']) {
      await world.setStatus(id, status);
      expect((await world.patch(id, { name: `Was ${status}` })).status).toBe(200);
    }
    for (const status of ['running', 'done', 'cancelled']) {
      await world.setStatus(id, status);
      const answer = await world.patch(id, { name: 'Other' });
      expect(answer.status).toBe(409);
      expect(answer.body.error).toBe(`a campaign that is ${status} cannot be changed`);
      expect(answer.body.details).toEqual({ status });
    }
    expect((await world.patch(9_007_199_254_740_991, { name: 'x' })).status).toBe(404);
  });

  test('minds If-Match', async () => {
    const id = await world.draft();
    const headers = { 'if-match': '"2020-01-01T00:00:00.000000Z"' };
    const ask = { body: { name: 'x' }, headers };
    expect((await world.api.ask(world.one, 'PATCH', `/api/campaigns/${id}`, ask)).status).toBe(412);
  });

  test('of the time of a scheduled one moves when it begins; without a time it is a draft', async () => {
    const id = await world.draft({ scheduled_at: FUTURE });
    await world.add(id, await world.people(1));
    expect((await world.step(id, 'start')).body.data).toMatchObject({
      status: 'scheduled',
      next_at: '2099-01-01T10:00:00.000000Z',
    });
    const later = await world.patch(id, { scheduled_at: '2099-01-02T10:00:00Z' });
    expect(later.body.data).toMatchObject({
      status: 'scheduled',
      next_at: '2099-01-02T10:00:00.000000Z',
    });
    const never = await world.patch(id, { scheduled_at: null });
    expect(never.body.data.status).toBe('draft');
    expect(never.body.data.next_at).toBeUndefined();
  });

  test('of a scheduled one into what could not run is refused', async () => {
    const id = await world.draft({ scheduled_at: FUTURE });
    await world.add(id, await world.people(1));
    await world.step(id, 'start');
    for (const [values, reason] of [
      [{ device_id: null }, 'no_device'],
      [{ template: 'Hello {{nobody_has_it}}' }, 'missing_values'],
    ] as const) {
      const answer = await world.patch(id, values);
      expect(answer.status).toBe(422);
      expect(answer.body.details.reason).toBe(reason);
    }
    expect(await world.read(id)).toMatchObject({ template: 'Hello {{name}}', status: 'scheduled' });
  });
});

describe('recipients', () => {
  test('are added once; who cannot be written to is counted by reason', async () => {
    const id = await world.draft();
    const people = await world.people(3);
    const [group] = await world.people(1, { is_group: true });
    const [barred] = await world.people(1, { do_not_contact: true });
    const [nowhere] = await world.people(1, { phone: null });
    const [byLid] = await world.people(1, { phone: null, lid: '123456@lid' });
    const [foreign] = world.two.contactIds;
    const contact_ids = [...people, group, barred, nowhere, byLid, foreign, people[0]];
    api().statements.length = 0;
    const first = await world.addTo(id, { contact_ids });
    expect(first.status).toBe(200);
    const inserts = api().statements.filter((text) =>
      text.includes('insert into public.campaign_recipients'),
    );
    expect(inserts).toHaveLength(1);
    const skipped = { group: 1, do_not_contact: 1, no_address: 1, not_found: 1 };
    expect(first.body.data).toEqual({ added: 4, already: 0, left: 0, skipped });
    const again = await world.addTo(id, { contact_ids });
    expect(again.body.data).toEqual({ added: 0, already: 4, left: 0, skipped });
    expect(await world.read(id)).toMatchObject({ total_count: 4, pending_count: 4 });
  });

  test('are added by tags, any or all of them', async () => {
    const [a, b] = world.one.tagIds;
    const people = await world.people(3);
    await world.api.owner.query(sql`
      delete from public.contact_tags where account_id = ${world.one.accountId}`);
    await world.api.owner.query(sql`
      insert into public.contact_tags (account_id, contact_id, tag_id)
      values (${world.one.accountId}, ${people[0]}, ${a}), (${world.one.accountId}, ${people[0]}, ${b}),
        (${world.one.accountId}, ${people[1]}, ${a})`);
    const all = await world.draft();
    const filter = { tag_ids: [a, b, b], tag_match: 'all' };
    expect((await world.addTo(all, { filter })).body.data.added).toBe(1);
    expect((await world.recipientsByApi(all)).map(({ contact_id }) => contact_id)).toEqual([
      people[0],
    ]);
    const any = await world.draft();
    expect((await world.addTo(any, { filter: { tag_ids: [a, b] } })).body.data.added).toBe(2);
    const foreign = { filter: { tag_ids: [...world.two.tagIds] } };
    expect((await world.addTo(any, foreign)).body.data).toMatchObject({ added: 0, already: 0 });
  });

  test('have variables of their own, by names in any case', async () => {
    const id = await world.draft({ template: '{{name}}: {{Product}} for {{price}}' });
    const [contact] = await world.people(1);
    const recipients = [{ contact_id: contact, variables: { PRODUCT: 'Coffee', price: 12.5 } }];
    expect((await world.addTo(id, { recipients })).body.data.added).toBe(1);
    const preview = await world.ask('POST', `/api/campaigns/${id}/preview`, {
      contact_id: contact,
    });
    expect(preview.body.data.text).toMatch(/^Person \d+: Coffee for 12.5$/);
    for (const variables of [{ 'first name': 'x' }, { list: ['x'] }, { text: 'x'.repeat(1_001) }])
      expect(
        (await world.addTo(id, { recipients: [{ contact_id: contact, variables }] })).status,
      ).toBe(400);
  });

  test('are taken out only while they wait', async () => {
    const id = await world.draft();
    await world.add(id, await world.people(3));
    const [first, second, third] = await world.recipientsByApi(id);
    await world.api.owner.query(
      sql`update public.campaign_recipients set status = 'sent' where id = ${second?.id}`,
    );
    const [theirs] = await world.api.owner.query(
      sql`select id from public.campaign_recipients where account_id = ${world.two.accountId}`,
    );
    const ids = [first?.id, second?.id, Number(theirs?.['id'])];
    const answer = await world.ask('DELETE', `/api/campaigns/${id}/recipients`, { ids });
    expect(answer.body.data).toEqual({ matched: 2, changed: 1 });
    expect((await world.recipientsByApi(id)).map((row) => row.id)).toEqual([second?.id, third?.id]);
    expect(await world.read(id)).toMatchObject({ total_count: 2, pending_count: 1, sent_count: 1 });
  });

  test('are added to a running campaign, and not to one that is over', async () => {
    const id = await world.running(1);
    expect((await world.addTo(id, { contact_ids: await world.people(1) })).body.data.added).toBe(1);
    for (const status of ['done', 'cancelled']) {
      await world.setStatus(id, status);
      const answer = await world.addTo(id, { contact_ids: await world.people(1) });
      expect(answer.status).toBe(409);
      expect(answer.body.error).toBe(
        `a campaign that is ${status} cannot be given more recipients`,
      );
    }
    expect(await world.read(id)).toMatchObject({ total_count: 2 });
  });

  test('need the permission contacts as well, to be added and to be previewed', async () => {
    const id = await world.draft();
    const [contact] = await world.people(1);
    const token = await api().tokenOf(world.one, ['campaigns']);
    expect((await world.addTo(id, { contact_ids: [contact] }, { token })).status).toBe(403);
    const preview = await world.ask(
      'POST',
      `/api/campaigns/${id}/preview`,
      { contact_id: contact },
      { token },
    );
    expect(preview.status).toBe(403);
    expect((await world.step(id, 'start', { token })).status).toBe(422);
  });
});

describe('a preview', () => {
  test('shows what a contact would read, and what it has no value for', async () => {
    const id = await world.draft({ template: 'Hello {{name}} of {{company}}, {{nick|friend}}' });
    const [contact] = await world.people(1, { name: 'Ana', company: null });
    const preview = (contact_id: unknown) =>
      world.ask('POST', `/api/campaigns/${id}/preview`, { contact_id });
    expect((await preview(contact)).body.data).toEqual({
      text: 'Hello Ana of , friend',
      missing: ['company'],
      is_too_long: false,
    });
    // A number is no name.
    const [nameless] = await world.people(1, { name: ' ' });
    expect((await preview(nameless)).body.data.missing).toEqual(['name', 'company']);
    expect((await preview(world.two.contactIds[0])).status).toBe(404);
  });
});

describe('who may', () => {
  const ROUTES = [
    ['PATCH', '', { name: 'x' }],
    ['DELETE', '', undefined],
    ['POST', '/start', undefined],
    ['POST', '/pause', undefined],
    ['POST', '/cancel', undefined],
    ['POST', '/recipients', { contact_ids: [1] }],
    ['DELETE', '/recipients', { ids: [1] }],
    ['POST', '/preview', { contact_id: 1 }],
    ['GET', '/progress', undefined],
  ] as const;

  test.each(ROUTES)(
    '%s %s of another account or device is not there',
    async (method, path, body) => {
      const id = await world.running(1);
      const url = `/api/campaigns/${id}${path}`;
      const [, other] = world.one.deviceIds;
      const permissions = ['campaigns', 'contacts'];
      const restricted = await restrictedTo(api(), world.one, [other], permissions);
      for (const caller of [world.two, restricted])
        expect((await world.ask(method, url, body, caller)).status).toBe(404);
      const without = { token: await api().tokenOf(world.one, ['contacts']) };
      expect((await world.ask(method, url, body, without)).status).toBe(403);
      expect(await world.read(id)).toMatchObject({ status: 'running', total_count: 1 });
    },
  );

  test('a role of some devices drafts for those only', async () => {
    const [own, other] = world.one.deviceIds;
    const restricted = await restrictedTo(api(), world.one, [own], ['campaigns']);
    const draft = (device_id: number | null | undefined) =>
      world.ask('POST', '/api/campaigns', { name: 'x', template: 'x', device_id }, restricted);
    expect((await draft(own)).status).toBe(201);
    expect((await draft(other)).status).toBe(422);
    expect((await draft(null)).status).toBe(403);
  });
});
