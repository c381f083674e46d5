import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { noteWatched } from '../../platform/kommo-notes.ts';
import { sql } from '../../platform/sql.ts';
import { disconnectKommo } from '../../server/commands/connect-kommo.ts';
import { acceptKommoHints } from '../../server/commands/kommo-webhook.ts';
import { cancelFullSync, requestFullSync } from '../../server/commands/sync-kommo.ts';
import { eventually } from '../support/eventually.ts';
import { startWorker, type WorkerProcess } from './kommo-worker-process.ts';
import { openWorkerWorld, type Account, type WorkerWorld } from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;
const started: WorkerProcess[] = [];

beforeAll(async () => {
  world = await openWorkerWorld({ isLive: true });
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop()));
  // The next test has connections of its own.
  await world.owner.query(sql`update public.accounts set is_active = false`);
});

function start(): WorkerProcess {
  const worker = startWorker(world);
  started.push(worker);
  return worker;
}

const resourceOf = ({ connection }: Account): string => `kommo:${connection.id}`;

const requestsOf = ({ kommo }: Account, after = 0) =>
  world.fake.requests.list({ subdomain: kommo.subdomain, after });

const statusOf = ({ connection }: Account) =>
  world.one(sql`
    select status, status_reason, full_sync_state from public.kommo_connections where id = ${connection.id}`);

/** Everything of an account is here: so many leads, and the first reading is done. */
const settled = (account: Account, leads: number): Promise<boolean> =>
  eventually(
    async () =>
      (await statusOf(account))['full_sync_state'] === 'done' &&
      (await world.leads(account.connection)).size === leads,
    { says: 'it is read', timeoutMs: 20_000 },
  );

const titleBecomes = (account: Account, kommoId: number, title: string): Promise<boolean> =>
  eventually(
    async () => (await world.leads(account.connection)).get(kommoId)?.['title'] === title,
    { says: `the lead is ${title}`, timeoutMs: 20_000 },
  );

describe('a worker', () => {
  test('reads a connection that appears, follows what changes, and ends with it', async () => {
    const worker = start();
    const account = await world.account();
    const { kommo, connection } = account;
    const lead = kommo.leads.create({ name: 'First' });
    await eventually(() => worker.at().includes(resourceOf(account)));
    await settled(account, 1);
    kommo.leads.update(lead.id, { name: 'Second' });
    await titleBecomes(account, lead.id, 'Second');
    const pulse = await world.one(sql`
      select cadence_seconds, requests from private.kommo_pulses where connection_id = ${connection.id}`);
    expect(Number(pulse['requests'])).toBeGreaterThan(5);
    expect(await worker.metrics.registry.metrics()).toMatch(
      new RegExp(`clarin_kommo_lag_seconds\\{connection="${connection.id}",role="test"\\} \\d`),
    );
    await world.owner.transaction((tx) =>
      disconnectKommo(tx, { accountId: connection.accountId, id: connection.id }),
    );
    await eventually(() => !worker.at().includes(resourceOf(account)), { says: 'it is let go' });
    const leases = await world.owner.query(
      sql`select fence from private.ingest_leases where resource = ${resourceOf(account)}`,
    );
    expect(leases).toEqual([]);
    expect((await statusOf(account))['status']).toBe('disconnected');
  });

  test('that has nothing to do writes nothing', async () => {
    start();
    const account = await world.account();
    account.kommo.leads.create({ name: 'One' });
    await settled(account, 1);
    const wal = await watchWal(world.owner);
    const from = world.fake.requests.count;
    const polls = () => requestsOf(account, from).filter(({ endpoint }) => endpoint === 'leads');
    await eventually(() => polls().length >= 8, { says: 'it was asked often', timeoutMs: 30_000 });
    expect(requestsOf(account, from).map(({ endpoint }) => endpoint)).toContain('events');
    const { ingest_workers: beats, ...others } = await wal.take();
    expect(others).toEqual({});
    expect(beats).toBeGreaterThan(0);
  });

  test('hears of hints, of who looks, of a full sync and of one that is given up', async () => {
    start();
    const account = await world.account();
    const { kommo, connection } = account;
    const lead = kommo.leads.create({ name: 'First' });
    await settled(account, 1);
    const { accountId, id } = connection;
    const [row] = await world.owner.query(
      sql`select polled_at from private.kommo_pulses where connection_id = ${id}`,
    );
    await noteWatched(world.owner, [accountId]);
    await eventually(
      async () =>
        (
          await world.one(
            sql`select polled_at from private.kommo_pulses where connection_id = ${id}`,
          )
        )['polled_at'] !== row?.['polled_at'],
      { says: 'it was asked because somebody looks' },
    );
    kommo.leads.update(lead.id, { name: 'Hinted' });
    const from = world.fake.requests.count;
    await world.owner.transaction((tx) =>
      acceptKommoHints(tx, { accountId, connectionId: id }, [{ entity: 'lead', kommoId: lead.id }]),
    );
    await titleBecomes(account, lead.id, 'Hinted');
    expect(requestsOf(account, from).some(({ path }) => path.includes('filter%5Bid%5D'))).toBe(
      true,
    );
    await eventually(
      async () =>
        (
          await world.owner.query(
            sql`select 1 from private.kommo_hints where connection_id = ${id}`,
          )
        ).length === 0,
    );
    await world.owner.transaction((tx) => requestFullSync(tx, { accountId, id }));
    await settled(account, 1);
    kommo.generate({ leads: 5_000, contacts: 0 });
    await world.owner.transaction((tx) => requestFullSync(tx, { accountId, id }));
    await eventually(async () => (await statusOf(account))['full_sync_state'] === 'running');
    await world.owner.transaction((tx) => cancelFullSync(tx, { accountId, id }));
    const found = (await world.leads(connection)).size;
    expect(found).toBeLessThan(5_001);
    expect((await statusOf(account))['full_sync_state']).toBe('cancelled');
  });

  test('stops within seconds while Kommo does not answer, and leaves its connections at once', async () => {
    const worker = start();
    const account = await world.account();
    account.kommo.leads.create({ name: 'One' });
    await settled(account, 1);
    const { subdomain } = account.kommo;
    const fault = world.fake.faults.add({ subdomain, does: { kind: 'stall' } });
    await eventually(() => fault.hits > 0, { timeoutMs: 20_000 });
    await worker.stop();
    const { owner } = await world.one(
      sql`select owner from private.ingest_leases where resource = ${resourceOf(account)}`,
    );
    expect(owner).toBeNull();
    world.fake.faults.remove(fault.id);
    account.kommo.leads.create({ name: 'Two' });
    start();
    await eventually(async () => (await world.leads(account.connection)).size === 2);
  });

  test('loses nothing when Kommo is away for a while', async () => {
    start();
    const account = await world.account();
    const { kommo } = account;
    const leads = Array.from({ length: 40 }, (_, index) =>
      kommo.leads.create({ name: `${index}` }),
    );
    await settled(account, 40);
    const { subdomain } = kommo;
    const fault = world.fake.faults.add({ subdomain, does: { kind: 'reset' } });
    for (const lead of leads) kommo.leads.update(lead.id, { name: `Changed ${lead.id}` });
    kommo.leads.delete(leads[0]!.id);
    await eventually(() => fault.hits > 10, { timeoutMs: 20_000 });
    world.fake.faults.remove(fault.id);
    await eventually(
      async () => {
        const rows = [...(await world.leads(account.connection)).entries()];
        return rows.every(([id, row]) =>
          id === leads[0]!.id ? row['is_deleted'] === 't' : row['title'] === `Changed ${id}`,
        );
      },
      { says: 'everything is here', timeoutMs: 40_000 },
    );
    expect((await statusOf(account))['status']).toBe('connected');
  });
});

/** Forty of them, by processes of their own: test/stack/kommo-workers.stack.test.ts. */
const CONNECTIONS = 12;

describe('two workers', () => {
  test('share connections; one is killed, the other has them all, and no connection is read twice', async () => {
    const accounts: Account[] = [];
    for (let index = 0; index < CONNECTIONS; index++) accounts.push(await world.account());
    const [first, second] = [start(), start()];
    await eventually(
      () => first.at().length === CONNECTIONS / 2 && second.at().length === CONNECTIONS / 2,
      {
        says: 'each has half',
        timeoutMs: 30_000,
      },
    );
    const addresses = (account: Account, after: number): string[] => [
      ...new Set(requestsOf(account, after).map(({ address }) => address)),
    ];
    const asked = async (after: number): Promise<void> => {
      await eventually(
        () =>
          accounts.every((account) =>
            requestsOf(account, after).some(({ endpoint }) => endpoint === 'leads'),
          ),
        { says: 'each is asked', timeoutMs: 90_000, everyMs: 200 },
      );
    };
    const shared = world.fake.requests.count;
    await asked(shared);
    for (const account of accounts) expect(addresses(account, shared)).toHaveLength(1);
    first.kill();
    for (const { kommo } of accounts) kommo.leads.create({ name: 'After' });
    await eventually(() => second.at().length === CONNECTIONS, {
      says: 'the other has taken over',
      timeoutMs: 30_000,
    });
    await eventually(
      async () => {
        for (const { connection } of accounts)
          if ((await world.leads(connection)).size !== 1) return false;
        return true;
      },
      { says: 'nothing is lost', timeoutMs: 90_000, everyMs: 200 },
    );
    const taken = world.fake.requests.count;
    await asked(taken);
    for (const account of accounts) expect(addresses(account, taken)).toEqual([second.name]);
  }, 180_000);
});

describe('the state of a connection', () => {
  /** A connection that is read, and then something about it goes wrong. */
  async function failing(status: number, more: object = {}) {
    start();
    const account = await world.account();
    account.kommo.leads.create({ name: 'One' });
    await settled(account, 1);
    const { subdomain } = account.kommo;
    const does = { kind: 'status', status, ...more } as const;
    const fault = world.fake.faults.add({ subdomain, does });
    return { account, mend: () => world.fake.faults.remove(fault.id) };
  }

  const becomes = (account: Account, status: string) =>
    eventually(
      async () => {
        const row = await statusOf(account);
        return row['status'] === status ? row : undefined;
      },
      { says: `it is ${status}`, timeoutMs: 20_000 },
    );

  test('is paused while its plan has ended, and goes on when somebody says so', async () => {
    const { account, mend } = await failing(402);
    const row = await becomes(account, 'paused');
    expect(row['status_reason']).toContain('plan');
    mend();
    const { accountId, id } = account.connection;
    await world.owner.transaction((tx) => requestFullSync(tx, { accountId, id }));
    await becomes(account, 'connected');
    expect((await statusOf(account))['status_reason']).toBeNull();
  });

  test('waits for people once its token is refused, and goes on with another one', async () => {
    const { account, mend } = await failing(401);
    const row = await becomes(account, 'needs_reauth');
    expect(row['status_reason']).toContain('Make a new one there and connect it again');
    const from = world.fake.requests.count;
    mend();
    // Others are asked meanwhile.
    const other = await world.account();
    await eventually(() => requestsOf(other, from).length > 20, { timeoutMs: 20_000 });
    expect(requestsOf(account, from)).toEqual([]);
    await world.reconnect(account);
    await becomes(account, 'connected');
  });

  test('is an error when there is no such account, after three times', async () => {
    const { account, mend } = await failing(404);
    const row = await becomes(account, 'error');
    expect(row['status_reason']).toContain('no Kommo account at this address');
    mend();
    const { accountId, id } = account.connection;
    await world.owner.transaction((tx) => requestFullSync(tx, { accountId, id }));
    await becomes(account, 'connected');
  });

  test('says until when Kommo wants to rest, and when it has shut us out', async () => {
    const { account, mend } = await failing(429, { retryAfterSeconds: 60 });
    await becomes(account, 'rate_limited');
    const { until } = await world.one(sql`
      select status_until > now() + interval '30 seconds' as until from public.kommo_connections
      where id = ${account.connection.id}`);
    expect(until).toBe('t');
    mend();
    const { subdomain } = account.kommo;
    const does = { kind: 'status', status: 403, as: 'html' } as const;
    const fault = world.fake.faults.add({ subdomain, does, times: 1 });
    await world.owner.query(sql`delete from private.kommo_pauses`);
    await becomes(account, 'blocked');
    world.fake.faults.remove(fault.id);
    await world.owner.query(sql`delete from private.kommo_pauses`);
  });
});
