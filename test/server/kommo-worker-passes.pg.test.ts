import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { passReference } from '../../server/ingest/kommo/pass-reference.ts';
import { passContacts, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import { LeaseLost, type Session } from '../../server/ingest/kommo/session.ts';
import { openWorkerWorld, type Account, type WorkerWorld } from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

/** Time goes on over there and here. */
function tick(seconds: number): void {
  world.clock.advance(seconds * 1_000);
  world.time.advance(seconds * 1_000);
}

async function passBoth(session: Session): Promise<void> {
  await passContacts(session);
  await passLeads(session);
}

const requestsOf = ({ kommo }: Account, endpoint?: string): number =>
  world.fake.requests.list({ subdomain: kommo.subdomain, endpoint }).length;

/** Titles of what is not deleted, by Kommo's ids, here and there. */
async function titles({ connection }: Account): Promise<Record<number, string | null | undefined>> {
  const leads = await world.leads(connection);
  return Object.fromEntries([...leads].map(([id, row]) => [id, row['title']]));
}

const truth = ({ kommo, pipelineId }: Account): Record<number, string> =>
  Object.fromEntries(
    [...kommo.leads.all()]
      .filter((row) => row.pipelineId === pipelineId && !row.isDeleted)
      .map((row) => [row.id, row.name]),
  );

describe('a pass over what changed', () => {
  test('writes leads with their contacts, by two requests and one for contacts that nobody knows', async () => {
    const account = await world.account();
    const { kommo, connection } = account;
    const session = await world.session(connection);
    const people = Array.from({ length: 120 }, (_, index) =>
      kommo.contacts.create({ name: `Person ${index}`, phones: [`9876${10_000 + index}`] }),
    );
    for (const person of people)
      kommo.leads.create({ name: `Of ${person.name}`, contactIds: [person.id] });
    tick(5);
    const before = requestsOf(account);
    await passLeads(session);
    // One page of leads, two of contacts by their ids.
    expect(requestsOf(account) - before).toBe(3);
    expect(await titles(account)).toEqual(truth(account));
    const [lead] = [...(await world.leads(connection)).values()];
    expect(lead?.['contact_kommo_id']).not.toBeNull();
    expect((await world.contacts(connection)).size).toBe(120);
  });

  test('that finds nothing new writes nothing, asks the database nothing, and keeps the cursor in memory', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    account.kommo.leads.create({ name: 'One' });
    tick(5);
    await passBoth(session);
    const wal = await watchWal(world.owner);
    const { queries, restore } = countQueries(session);
    for (let pass = 0; pass < 15; pass++) {
      tick(5);
      await passBoth(session);
    }
    expect(await wal.take()).toEqual({});
    expect(queries()).toBe(0);
    restore();
    // A sign of life, once in half an hour, and no more than that.
    tick(1_800);
    await passBoth(session);
    tick(5);
    await passBoth(session);
    expect(await wal.take()).toEqual({ kommo_cursors: 2 });
  });

  test('writes what changed and nothing else, the cursor with it', async () => {
    const account = await world.account();
    const { kommo, connection } = account;
    const session = await world.session(connection);
    const person = kommo.contacts.create({ name: 'Rosa' });
    const lead = kommo.leads.create({ name: 'One', contactIds: [person.id] });
    const other = kommo.leads.create({ name: 'Other', contactIds: [person.id] });
    tick(5);
    await passBoth(session);
    const wal = await watchWal(world.owner);
    tick(5);
    kommo.leads.update(lead.id, { price: 12 });
    // Of no interest to us: its moment moves all the same.
    kommo.leads.update(other.id, { closestTaskAt: 1_900_000_000 });
    tick(5);
    await passBoth(session);
    expect(await wal.take()).toEqual({ leads: 1, kommo_leads: 1, kommo_cursors: 1 });
  });
});

describe('a page', () => {
  test('of a worker that ends in the middle of it leaves nothing, and the next worker has all of it', async () => {
    const account = await world.account();
    const { kommo, connection } = account;
    const stopping = new AbortController();
    const session = await world.session(connection, { signal: stopping.signal });
    for (let index = 0; index < 30; index++) kommo.leads.create({ name: `Lead ${index}` });
    tick(5);
    const { database } = session;
    // The process ends when the first row of the page is written and the transaction is open.
    (session as { database: Session['database'] }).database = {
      ...database,
      transaction: (work, options) =>
        database.transaction(async (tx) => {
          const value = await work(tx);
          stopping.abort(new Error('killed'));
          return value;
        }, options),
    };
    await expect(passLeads(session)).rejects.toThrow();
    expect((await world.leads(connection)).size).toBe(0);
    const next = await world.session(connection);
    tick(30);
    await passLeads(next);
    expect(await titles(account)).toEqual(truth(account));
  });

  test('of a worker whose lease somebody else has is refused, with everything in it', async () => {
    const account = await world.account();
    const late = await world.session(account.connection);
    account.kommo.leads.create({ name: 'Late' });
    tick(5);
    const next = await world.session(account.connection);
    const wal = await watchWal(world.owner);
    await expect(passLeads(late)).rejects.toThrow(LeaseLost);
    expect(await wal.take()).toEqual({});
    await passLeads(next);
    expect(await titles(account)).toEqual(truth(account));
  });

  test('that runs into another writer is tried again', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    account.kommo.leads.create({ name: 'Contested' });
    tick(5);
    await world.owner.query(sql`create sequence public.collisions`);
    await world.owner.query(sql`grant usage on sequence public.collisions to public`);
    await world.owner.query(sql`
      create function public.collide() returns trigger language plpgsql as $$
      begin
        if nextval('public.collisions') < 4 then raise exception 'deadlock' using errcode = '40P01'; end if;
        return new;
      end $$`);
    await world.owner.query(sql`
      create trigger collide before insert on public.leads for each row when (new.title = 'Contested')
      execute function public.collide()`);
    await passLeads(session);
    expect(await titles(account)).toEqual(truth(account));
    await world.owner.query(sql`drop trigger collide on public.leads`);
  });

  test('with a row that is refused is written without it, and the row is not tried with every pass', async () => {
    const account = await world.account();
    const { kommo, connection } = account;
    const session = await world.session(connection);
    for (let index = 0; index < 40; index++) kommo.leads.create({ name: `Good ${index}` });
    const poison = kommo.leads.create({ name: 'Poison' });
    await world.owner.query(sql`
      create function public.refuse() returns trigger language plpgsql as $$
      begin
        raise exception 'no such title';
      end $$`);
    await world.owner.query(sql`
      create trigger refuse before insert on public.leads for each row when (new.title = 'Poison')
      execute function public.refuse()`);
    tick(5);
    await passLeads(session);
    const { [poison.id]: left, ...others } = truth(account);
    expect(left).toBe('Poison');
    expect(await titles(account)).toEqual(others);
    const { queries, restore } = countQueries(session);
    tick(5);
    await passLeads(session);
    expect(queries()).toBe(0);
    restore();
    await world.owner.query(sql`drop trigger refuse on public.leads`);
    kommo.leads.update(poison.id, { price: 3 });
    tick(5);
    await passLeads(session);
    expect(await titles(account)).toEqual(truth(account));
  });
});

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
    expect(await titles(account)).toEqual(truth(account));
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
      expect([settings, await titles(account)]).toEqual([settings, truth(account)]);
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
    expect(await titles(account)).toEqual(truth(account));
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
      expect(await titles(account)).toEqual(truth(account));
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
    const before = requestsOf(account, 'users');
    kommo.leads.update(lead.id, { price: 5 });
    tick(5);
    await passLeads(session);
    expect(requestsOf(account, 'users')).toBe(before);
  });

  test('is written when it differs, and not otherwise', async () => {
    const account = await world.account();
    const session = await world.session(account.connection);
    const wal = await watchWal(world.owner);
    await passReference(session, 'poll');
    expect(await wal.take()).toEqual({});
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
    expect(await titles(account)).toEqual(truth(account));
    const before = requestsOf(account, 'users');
    await passReference(session, 'poll');
    expect(requestsOf(account, 'users')).toBe(before);
  });
});

function countQueries(session: Session): { queries: () => number; restore: () => void } {
  let queries = 0;
  const { database } = session;
  const writable = session as { database: Session['database'] };
  writable.database = {
    ...database,
    query: (...given) => ((queries += 1), database.query(...given)),
    transaction: (...given) => ((queries += 1), database.transaction(...given)),
  };
  return { queries: () => queries, restore: () => void (writable.database = database) };
}
