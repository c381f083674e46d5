import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { passContacts, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
import { LeaseLost } from '../../server/ingest/write-in-lease.ts';
import { countQueries, openWorkerWorld, type WorkerWorld } from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

const tick = (seconds: number): void => world.tick(seconds);

async function passBoth(session: Session): Promise<void> {
  await passContacts(session);
  await passLeads(session);
}

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
    const before = world.asked(account);
    await passLeads(session);
    // One page of leads, two of contacts by their ids.
    expect(world.asked(account) - before).toBe(3);
    expect(await world.titles(account)).toEqual(world.truth(account));
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
    // The new moment of a row that looks the same is kept in memory: passes that go back to it ask the database nothing.
    const { queries, restore } = countQueries(session);
    tick(5);
    await passBoth(session);
    expect(queries()).toBe(0);
    restore();
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
    await expect(passLeads(session)).rejects.toThrow('not reachable');
    expect((await world.leads(connection)).size).toBe(0);
    const next = await world.session(connection);
    tick(30);
    await passLeads(next);
    expect(await world.titles(account)).toEqual(world.truth(account));
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
    expect(await world.titles(account)).toEqual(world.truth(account));
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
    expect(await world.titles(account)).toEqual(world.truth(account));
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
    const { [poison.id]: left, ...others } = world.truth(account);
    expect(left).toBe('Poison');
    expect(await world.titles(account)).toEqual(others);
    const { queries, restore } = countQueries(session);
    tick(5);
    await passLeads(session);
    expect(queries()).toBe(0);
    restore();
    await world.owner.query(sql`drop trigger refuse on public.leads`);
    kommo.leads.update(poison.id, { price: 3 });
    tick(5);
    await passLeads(session);
    expect(await world.titles(account)).toEqual(world.truth(account));
  });
});
