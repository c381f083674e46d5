import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { openBackground, stepBackground } from '../../server/ingest/kommo/background.ts';
import { passEvents, type EventsKnown } from '../../server/ingest/kommo/pass-events.ts';
import { passHints } from '../../server/ingest/kommo/pass-hints.ts';
import { passDeleted, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
import { stepSweep, SWEEP_BEGIN } from '../../server/ingest/kommo/sweep.ts';
import { PURGES, purgeTable } from '../../server/ingest/purge.ts';
import {
  knownAccount,
  openWorkerWorld,
  type Account,
  type Known,
  type WorkerWorld,
} from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

const tick = (seconds: number): void => world.tick(seconds);

const known = (count: number): Promise<Known> => knownAccount(world, count);

const deletedLeads = async ({ connection }: Account): Promise<number[]> =>
  [...(await world.leads(connection))]
    .filter(([, row]) => row['is_deleted'] === 't' && row['is_trashed'] === 't')
    .map(([id]) => id)
    .toSorted((left, right) => left - right);

const deletedContacts = async ({ connection }: Account): Promise<number[]> =>
  [...(await world.contacts(connection))]
    .filter(([, row]) => row['is_deleted'] === 't')
    .map(([id]) => id);

const events = (): EventsKnown => new Map();

/** The whole round; gives what it said to people, if anything. */
async function sweep(session: Session): Promise<string | undefined> {
  let position = SWEEP_BEGIN;
  for (;;) {
    const step = await stepSweep(session, position);
    position = step.position;
    if (step.outcome === 'round') return undefined;
    if (typeof step.outcome === 'object') return step.outcome.alarm;
  }
}

describe('events', () => {
  test('tell of deletions and restorations, of leads and of contacts', async () => {
    const account = await known(4);
    const { kommo, session, ids, people } = account;
    const seen = events();
    kommo.leads.delete(ids[0]!);
    kommo.contacts.delete(people[1]!);
    tick(5);
    expect(await passEvents(session, seen)).toBe(true);
    expect(await deletedLeads(account)).toEqual([ids[0]]);
    expect(await deletedContacts(account)).toEqual([people[1]]);
    kommo.leads.restore(ids[0]!);
    kommo.contacts.restore(people[1]!);
    tick(5);
    await passEvents(session, seen);
    expect(await deletedLeads(account)).toEqual([]);
    expect(await deletedContacts(account)).toEqual([]);
  });

  test('tell of tags, links and merges that no moment tells of', async () => {
    const account = await known(4);
    const { kommo, session, ids, people } = account;
    kommo.set({ doTagsRaiseUpdatedAt: false, doLinksRaiseUpdatedAt: false, eventOrder: 'oldest' });
    const seen = events();
    // So long ago that no pass goes back to it.
    tick(600);
    await passLeads(session);
    kommo.leads.tag(ids[0]!, ['VIP', 'Feria']);
    kommo.leads.link(ids[1]!, people[2]!, { isMain: true });
    tick(5);
    await passLeads(session);
    expect((await world.leads(account.connection)).get(ids[0]!)?.['tags']).toBeNull();
    await passEvents(session, seen);
    const leads = await world.leads(account.connection);
    expect(leads.get(ids[0]!)?.['tags']).toBe('Feria,VIP');
    expect(leads.get(ids[1]!)?.['contact_kommo_id']).toBe(String(people[2]));
    kommo.leads.untag(ids[0]!, ['VIP', 'Feria']);
    tick(5);
    await passEvents(session, seen);
    expect((await world.leads(account.connection)).get(ids[0]!)?.['tags']).toBeNull();
  });

  test('that were dealt with are not dealt with again, and late ones are', async () => {
    const account = await known(3);
    const { kommo, session, ids } = account;
    const seen = events();
    kommo.set({ eventDelayMs: [3_000, 3_000] });
    kommo.leads.tag(ids[0]!, ['First']);
    kommo.leads.delete(ids[1]!);
    tick(1);
    await passEvents(session, seen);
    expect(await deletedLeads(account)).toEqual([]);
    tick(14);
    await passEvents(session, seen);
    expect(await deletedLeads(account)).toEqual([ids[1]]);
    const before = world.asked(account);
    const wal = await watchWal(world.owner);
    tick(15);
    // Once more: the lists may have been late.
    await passEvents(session, seen);
    expect(world.asked(account) - before).toBe(2);
    tick(15);
    await passEvents(session, seen);
    expect(world.asked(account) - before).toBe(3);
    expect(await wal.take()).toEqual({});
  });

  test('of a row that the lists show as it was before are dealt with once more', async () => {
    const account = await known(2);
    const { kommo, session, ids } = account;
    kommo.set({ doTagsRaiseUpdatedAt: false, listDelayMs: [3_000, 3_000] });
    tick(600);
    await passLeads(session);
    const seen = events();
    kommo.leads.tag(ids[0]!, ['Late']);
    tick(1);
    await passEvents(session, seen);
    const tags = async () => (await world.leads(account.connection)).get(ids[0]!)?.['tags'];
    expect(await tags()).toBeNull();
    tick(15);
    await passEvents(session, seen);
    expect(await tags()).toBe('Late');
  });

  test('of more than a page are read to the end, whatever is said of a next page', async () => {
    const account = await known(3);
    const { kommo, session, ids } = account;
    kommo.set({ eventsPerPageMax: 100, eventOrder: 'oldest', nextLink: 'never' });
    for (let index = 0; index < 120; index++) kommo.leads.tag(ids[0]!, [`Tag ${index}`]);
    kommo.leads.delete(ids[2]!);
    tick(5);
    await passEvents(session, events());
    expect(await deletedLeads(account)).toEqual([ids[2]]);
  });
});

describe('the list of deleted leads', () => {
  test('tells of those that events do not tell of, once', async () => {
    const account = await known(5);
    const { kommo, session, ids } = account;
    kommo.leads.delete(ids[1]!);
    tick(3);
    kommo.leads.delete(ids[3]!);
    tick(5);
    await passDeleted(session);
    expect(await deletedLeads(account)).toEqual([ids[1], ids[3]]);
    const row = await world.one(sql`
      select extract(epoch from kommo_deleted_at)::bigint as at from public.leads
      where account_id = ${account.connection.accountId} and kommo_id = ${ids[1]}`);
    expect(Number(row['at'])).toBe(kommo.leads.get(ids[1]!)?.updatedAt);
    const wal = await watchWal(world.owner);
    tick(60);
    await passDeleted(session);
    expect(await wal.take()).toEqual({});
  });
});

describe('the sweep', () => {
  test('finds what nobody has told of, and only that', async () => {
    const account = await known(60);
    const { kommo, session, ids, people } = account;
    kommo.leads.delete(ids[7]!);
    kommo.leads.purge(ids[7]!);
    kommo.leads.delete(ids[8]!);
    kommo.contacts.delete(people[9]!);
    const before = world.asked(account);
    expect(await sweep(session)).toBeUndefined();
    expect(await deletedLeads(account)).toEqual([ids[7], ids[8]]);
    expect(await deletedContacts(account)).toEqual([people[9]]);
    // One for a hundred of each, and one for each that is missing.
    expect(world.asked(account) - before).toBe(2 + 3);
    const wal = await watchWal(world.owner);
    expect(await sweep(session)).toBeUndefined();
    expect(await wal.take()).toEqual({});
  });

  test('believes no deletions when many are missing: rights were narrowed, and nothing is deleted', async () => {
    const account = await known(60);
    account.kommo.set({ hiddenShare: 0.3 });
    expect(await sweep(account.session)).toContain('Many leads can no longer be seen');
    expect(await deletedLeads(account)).toEqual([]);
    expect(await deletedContacts(account)).toEqual([]);
    account.kommo.set({ hiddenShare: 0 });
    expect(await sweep(account.session)).toBeUndefined();
  });

  test('concludes nothing from half a round', async () => {
    const account = await known(110);
    const { kommo, session, ids } = account;
    kommo.leads.delete(ids[2]!);
    let step = await stepSweep(session, SWEEP_BEGIN);
    const fault = world.fake.faults.add({
      endpoint: 'leads',
      subdomain: kommo.subdomain,
      does: { kind: 'status', status: 401 },
    });
    await expect(stepSweep(session, step.position)).rejects.toThrow('does not accept');
    expect(await deletedLeads(account)).toEqual([]);
    world.fake.faults.remove(fault.id);
    while (step.outcome !== 'round') step = await stepSweep(session, step.position);
    expect(await deletedLeads(account)).toEqual([ids[2]]);
  });
});

describe('a lead that is gone for good here after 30 days in the trash', () => {
  /** A month later. */
  async function purge({ connection }: Account): Promise<void> {
    await world.owner.query(sql`
      update public.leads set deleted_at = now() - interval '31 days'
      where account_id = ${connection.accountId} and deleted_at is not null`);
    const leads = PURGES.find(({ table }) => table === 'leads');
    await purgeTable({ ...world.by.means, metrics: world.metrics }, leads!);
  }
  const idsHere = async ({ connection }: Account): Promise<number[]> => [
    ...(await world.leads(connection)).keys(),
  ];
  /** Whatever is asked, by whomever. */
  async function askAll({ session, ids, connection }: Known): Promise<void> {
    session.seen.lead.forgetAll();
    await world.owner.query(sql`
      insert into private.kommo_hints (connection_id, entity, kommo_id)
      select ${connection.id}, 'lead', id from unnest(${ids}::bigint[]) as id`);
    await passHints(session);
    await passLeads(session);
    await passEvents(session, events());
    await passDeleted(session);
    const background = openBackground(session, true);
    do {
      await stepBackground(session, background);
      tick(1);
    } while (background.job);
    expect(await sweep(session)).toBeUndefined();
  }

  test('does not come back while it is deleted in Kommo, and does once it is restored', async () => {
    const account = await known(3);
    const { kommo, session, ids } = account;
    kommo.leads.tag(ids[0]!, ['VIP']);
    kommo.leads.delete(ids[0]!);
    kommo.leads.delete(ids[1]!);
    tick(5);
    await passDeleted(session);
    await purge(account);
    expect(await idsHere(account)).toEqual([ids[2]]);
    await askAll(account);
    expect(await idsHere(account)).toEqual([ids[2]]);
    kommo.leads.restore(ids[0]!);
    tick(5);
    await passEvents(session, events());
    expect((await world.leads(account.connection)).get(ids[0]!)).toMatchObject({
      title: 'Lead 0',
      tags: 'VIP',
      is_trashed: 'f',
    });
    // Nobody has told of this one.
    kommo.leads.restore(ids[1]!);
    world.tick(86_400);
    await askAll(account);
    expect((await idsHere(account)).toSorted((left, right) => left - right)).toEqual(ids);
  });

  test('is one that Kommo does not have: what people threw away here stays in the trash as long as it does', async () => {
    const account = await known(3);
    const { kommo, session, ids, connection } = account;
    await world.owner.query(sql`
      update public.leads set deleted_at = now()
      where account_id = ${connection.accountId} and kommo_id = ${ids[0]!}`);
    await purge(account);
    await askAll(account);
    expect((await world.leads(connection)).get(ids[0]!)).toMatchObject({ is_trashed: 't' });
    kommo.leads.delete(ids[0]!);
    tick(5);
    await passDeleted(session);
    await purge(account);
    await askAll(account);
    expect((await idsHere(account)).toSorted((left, right) => left - right)).toEqual([
      ids[1],
      ids[2],
    ]);
  });
});
