import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { passEvents, type EventsKnown } from '../../server/ingest/kommo/pass-events.ts';
import { passReference } from '../../server/ingest/kommo/pass-reference.ts';
import { passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
import { countQueries, openWorkerWorld, type WorkerWorld } from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

const tick = (seconds: number): void => world.tick(seconds);

describe('what Kommo does not do well', () => {
  test('a page that takes too long is asked for in parts', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    for (let index = 0; index < 300; index++) account.kommo.leads.create({ name: `Lead ${index}` });
    tick(5);
    const { subdomain } = account.kommo;
    const slow = { kind: 'status', status: 504, as: 'html' } as const;
    world.fake.faults.add({ endpoint: 'leads', subdomain, does: slow, times: 2 });
    await passLeads(session);
    expect(await world.titles(account)).toEqual(world.truth(account));
    expect(session.lists.get('leads')?.reading.pageRows).toBe(62);
  });

  test('rows that are late in the lists, shuffled seconds, ends that exclude and filters that are ignored lose nothing', async () => {
    for (const settings of [
      { listDelayMs: [0, 3_000], ties: 'shuffled' },
      { isRangeInclusive: false, ties: 'shuffled' },
      { areFiltersKnown: false },
      { nextLink: 'never' },
      { nextLink: 'always' },
    ] as const) {
      const account = await world.account();
      const { kommo, connection } = account;
      const session = await world.session(connection);
      kommo.set(settings as Parameters<typeof kommo.set>[0]);
      for (let index = 0; index < 300; index++) {
        kommo.leads.create({ name: `Lead ${index}` });
        if (index % 60 === 0) tick(1);
      }
      await passLeads(session);
      tick(2);
      kommo.bulkEdit('leads', {});
      tick(4);
      await passLeads(session);
      tick(5);
      await passLeads(session);
      expect([settings, await world.titles(account)]).toEqual([settings, world.truth(account)]);
    }
  });

  test('rows twice in a page, and edits between two pages, lose nothing', async () => {
    const account = await world.account();
    const { kommo, connection } = account;
    const session = await world.session(connection);
    for (let index = 0; index < 700; index++) {
      kommo.leads.create({ name: `Lead ${index}` });
      if (index % 100 === 0) tick(1);
    }
    const { subdomain } = kommo;
    const more = { endpoint: 'leads', subdomain } as const;
    world.fake.faults.add({ ...more, does: { kind: 'edit', rows: 7 }, times: 6 });
    world.fake.faults.add({ ...more, does: { kind: 'duplicates', rows: 3 }, share: 0.5, times: 6 });
    tick(1);
    await passLeads(session);
    tick(5);
    await passLeads(session);
    expect(await world.titles(account)).toEqual(world.truth(account));
  });

  test('a row with something in it of a hundred thousand levels is read like the others, and once', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    const { client } = session;
    const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) as unknown;
    (session as { client: Session['client'] }).client = {
      ...client,
      leads: async (query, lane) => {
        const page = await client.leads(query, lane);
        const values = [{ value: deep }];
        const field = { field_id: 1, field_name: 'Deep', field_type: 'of tomorrow', values };
        const rows = page.rows.map((row) => ({ ...row, deep, custom_fields_values: [field] }));
        return { ...page, rows };
      },
    };
    for (const name of ['One', 'Two']) account.kommo.leads.create({ name });
    tick(5);
    await passLeads(session);
    expect(await world.titles(account)).toEqual(world.truth(account));
    const { queries, restore } = countQueries(session);
    tick(5);
    await passLeads(session);
    expect(queries()).toBe(0);
    restore();
  });

  test('one Date of next year does not keep us from what changes until then', async () => {
    const account = await world.account();
    const { kommo, connection } = account;
    const session = await world.session(connection);
    const { subdomain } = kommo;
    const does = { kind: 'clock-offset', seconds: 365 * 86_400 } as const;
    world.fake.faults.add({ endpoint: 'leads', subdomain, does, times: 1 });
    world.fake.faults.add({ endpoint: 'events', subdomain, does, times: 1 });
    tick(5);
    const events: EventsKnown = new Map();
    expect(await passLeads(session)).toBe(true);
    expect(await passEvents(session, events)).toBe(true);
    const lost = kommo.leads.create({ name: 'Not found' });
    tick(600);
    // What changed in between is for the reading of everything, and is said to be.
    expect(await passLeads(session)).toBe(false);
    expect(await passEvents(session, events)).toBe(false);
    const { [lost.id]: _, ...others } = world.truth(account);
    expect(await world.titles(account)).toEqual(others);
    const found = kommo.leads.create({ name: 'Found' });
    tick(5);
    expect(await passLeads(session)).toBe(true);
    expect(await world.titles(account)).toEqual({ ...others, [found.id]: 'Found' });
    kommo.leads.delete(found.id);
    tick(5);
    expect(await passEvents(session, events)).toBe(true);
    expect((await world.leads(connection)).get(found.id)?.['is_deleted']).toBe('t');
  });

  test('filters that were ignored for a while are tried again', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    const isUnfiltered = () => session.lists.get('leads')?.reading.isUnfiltered;
    account.kommo.leads.create({ name: 'Old' });
    tick(600);
    account.kommo.set({ areFiltersKnown: false });
    for (let pass = 0; pass < 13; pass++) await passLeads(session);
    expect(isUnfiltered()).toBe(true);
    account.kommo.set({ areFiltersKnown: true });
    for (let pass = 0; pass < 12; pass++) await passLeads(session);
    expect(isUnfiltered()).toBe(false);
  });

  test('a Date that is a minute and a half off, to either side, loses nothing', async () => {
    for (const seconds of [-90, 90]) {
      const account = await world.account();
      const { kommo, connection } = account;
      const { subdomain } = kommo;
      const fault = world.fake.faults.add({ subdomain, does: { kind: 'clock-offset', seconds } });
      const session = await world.session(connection);
      for (let pass = 0; pass < 14; pass++) {
        kommo.leads.create({ name: `At ${pass}` });
        tick(5);
        await passLeads(session);
      }
      expect(await world.titles(account)).toEqual(world.truth(account));
      world.fake.faults.remove(fault.id);
    }
  });
});

describe('what leads refer to', () => {
  test('is looked for when a lead is in a stage, or with a person, that nobody has told us of', async () => {
    const account = await world.account();
    const { kommo, connection, pipelineId } = account;
    const session = await world.session(connection);
    tick(30);
    const stage = kommo.pipelines.addStage(pipelineId, { name: 'New stage' });
    const [member] = await world.owner.query(sql`
      update public.users set email = 'new@example.com'
      where id = (select user_id from public.memberships where account_id = ${connection.accountId} limit 1)
      returning id`);
    const person = kommo.users.add({ name: 'New', email: 'new@example.com' });
    const lead = kommo.leads.create({
      name: 'In the new stage',
      statusId: stage.id,
      responsibleUserId: person.id,
    });
    tick(5);
    await passLeads(session);
    const row = (await world.leads(connection)).get(lead.id);
    expect(row?.['status_id']).toBe(String(stage.id));
    expect(row?.['assigned_to']).toBe(member?.['id']);
    const before = world.asked(account, 'users');
    kommo.leads.update(lead.id, { price: 5 });
    tick(5);
    await passLeads(session);
    expect(world.asked(account, 'users')).toBe(before);
  });

  test('is written when it differs, and not otherwise', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    const wal = await watchWal(world.owner);
    const { queries, restore } = countQueries(session);
    await passReference(session, 'poll');
    expect(queries()).toBe(0);
    restore();
    account.kommo.pipelines.update(account.pipelineId, { name: 'Renamed' });
    await passReference(session, 'poll');
    expect(await wal.take()).toMatchObject({ pipelines: 1 });
    const row = await world.one(sql`
      select name from public.pipelines where account_id = ${account.connection.accountId} and kommo_id = ${account.pipelineId}`);
    expect(row['name']).toBe('Renamed');
  });

  test('is read without people when whoever connected it is no administrator', async () => {
    const account = await world.account();
    account.kommo.set({ isAdministrator: false });
    const session = await world.session(account.connection);
    account.kommo.leads.create({ name: 'Nobody knows whose' });
    tick(5);
    await passLeads(session);
    expect(await world.titles(account)).toEqual(world.truth(account));
    const before = world.asked(account, 'users');
    await passReference(session, 'poll');
    expect(world.asked(account, 'users')).toBe(before);
  });
});
