import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { acceptKommoHints } from '../../server/commands/kommo-webhook.ts';
import { applyLook, lookForIds } from '../../server/ingest/kommo/fetch-ids.ts';
import { passHints, settleDoubts } from '../../server/ingest/kommo/pass-hints.ts';
import { passContacts, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
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

describe('two looks at once', () => {
  test('that differ have the row looked at once more, and none that was late wins', async () => {
    const account = await known(1);
    const { kommo, session, ids } = account;
    kommo.set({ doTagsRaiseUpdatedAt: false });
    const { client } = session;
    // A page of the past that arrives when the row has been looked at again.
    (session as { client: Session['client'] }).client = {
      ...client,
      leads: async (query, lane) => {
        const page = await client.leads(query, lane);
        (session as { client: Session['client'] }).client = client;
        kommo.leads.tag(ids[0]!, ['New']);
        const look = await lookForIds(session, { entity: 'lead', ids, lane: 'hint' });
        await applyLook(session, look, { lane: 'hint' });
        return page;
      },
    };
    session.seen.lead.forgetAll();
    await passLeads(session);
    const tags = async () => (await world.leads(account.connection)).get(ids[0]!)?.['tags'];
    expect(await tags()).toBe('New');
    expect([...session.doubts.lead]).toEqual(ids);
    await settleDoubts(session);
    expect(await tags()).toBe('New');
    expect(session.doubts.lead.size).toBe(0);
  });
});

describe('a hint', () => {
  const hint = ({ connection }: Account, entity: 'lead' | 'contact', kommoIds: readonly number[]) =>
    world.owner.transaction((tx) =>
      acceptKommoHints(
        tx,
        { connectionId: connection.id, accountId: connection.accountId },
        kommoIds.map((kommoId) => ({ entity, kommoId })),
      ),
    );
  const waiting = async ({ connection }: Account): Promise<number> =>
    Number(
      (
        await world.one(
          sql`select count(*) as count from private.kommo_hints where connection_id = ${connection.id}`,
        )
      )['count'],
    );

  test('is fetched, written and gone by one transaction; what is gone over there is marked', async () => {
    const account = await known(4);
    const { kommo, session, ids, people } = account;
    kommo.leads.update(ids[0]!, { name: 'Hinted' });
    const fresh = kommo.leads.create({ name: 'Fresh', contactIds: [people[0]!] });
    kommo.contacts.update(people[1]!, { name: 'Renamed' });
    kommo.leads.delete(ids[3]!);
    await hint(account, 'lead', [ids[0]!, fresh.id, ids[3]!, 999_999]);
    await hint(account, 'contact', [people[1]!]);
    expect(await passHints(session)).toBe(true);
    const leads = await world.leads(account.connection);
    expect(leads.get(ids[0]!)?.['title']).toBe('Hinted');
    expect(leads.get(fresh.id)?.['title']).toBe('Fresh');
    expect((await world.contacts(account.connection)).get(people[1]!)?.['name']).toBe('Renamed');
    expect(await deletedLeads(account)).toEqual([ids[3]]);
    expect(await waiting(account)).toBe(0);
    // The pass that follows knows them already.
    const wal = await watchWal(world.owner);
    tick(5);
    await passContacts(session);
    await passLeads(session);
    expect(await wal.take()).toEqual({});
    expect(await passHints(session)).toBe(false);
  });

  test('that cannot be fetched still waits', async () => {
    const account = await known(2);
    const { kommo, session, ids } = account;
    kommo.leads.update(ids[0]!, { name: 'Hinted' });
    await hint(account, 'lead', ids);
    const does = { kind: 'status', status: 402 } as const;
    world.fake.faults.add({ endpoint: 'leads', subdomain: kommo.subdomain, does, times: 1 });
    await expect(passHints(session)).rejects.toThrow('plan');
    expect(await waiting(account)).toBe(2);
    await passHints(session);
    expect((await world.leads(account.connection)).get(ids[0]!)?.['title']).toBe('Hinted');
  });

  test('of hundreds goes before everything else once in a second, and waits in line with the rest', async () => {
    const account = await known(1);
    const { kommo, session, people } = account;
    const leads = Array.from({ length: 250 }, (_, index) =>
      kommo.leads.create({ name: `Lead ${index}`, contactIds: [people[0]!] }),
    );
    const lanes: string[] = [];
    const { client } = session;
    (session as { client: Session['client'] }).client = {
      ...client,
      leads: (query, lane) => (lanes.push(lane), client.leads(query, lane)),
    };
    await hint(
      account,
      'lead',
      leads.map(({ id }) => id),
    );
    await passHints(session);
    expect(lanes).toEqual(['hint', 'poll', 'poll']);
    expect(await world.titles(account)).toEqual(world.truth(account));
    await hint(account, 'lead', [leads[0]!.id]);
    await passHints(session);
    tick(1);
    await hint(account, 'lead', [leads[0]!.id]);
    await passHints(session);
    expect(lanes.slice(3)).toEqual(['poll', 'hint']);
  });

  test('of a row that is hidden is not believed again and again, and what was believed comes back', async () => {
    const account = await known(60);
    const { kommo, session, ids } = account;
    kommo.set({ hiddenShare: 0.3 });
    for (const id of ids) {
      await hint(account, 'lead', [id]);
      await passHints(session);
    }
    // A twentieth; what is beyond is for the sweep to find.
    expect(await deletedLeads(account)).toHaveLength(3);
    kommo.set({ hiddenShare: 0 });
    await hint(account, 'lead', ids);
    await passHints(session);
    expect(await deletedLeads(account)).toEqual([]);
  });

  test('of many at once does not make deletions of rows that are hidden', async () => {
    const account = await known(60);
    account.kommo.set({ hiddenShare: 0.3 });
    await hint(account, 'lead', account.ids);
    await passHints(account.session);
    expect(await deletedLeads(account)).toEqual([]);
    expect(await waiting(account)).toBe(0);
  });
});
