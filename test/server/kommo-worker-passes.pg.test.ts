import { beforeAll, describe, expect, test } from 'vitest';
import { passContacts, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
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
