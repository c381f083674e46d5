import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { connectKommo, disconnectKommo } from '../../server/commands/connect-kommo.ts';
import { eventually } from '../support/eventually.ts';
import { startWorker, type WorkerProcess } from './kommo-worker-process.ts';
import { openWorkerWorld, type Account, type WorkerWorld } from './kommo-worker-world.ts';

let world: WorkerWorld;
let worker: WorkerProcess | undefined;

beforeAll(async () => {
  world = await openWorkerWorld({ isLive: true });
});

afterEach(async () => {
  await worker?.stop();
  // The next test has connections of its own.
  await world.owner.query(sql`update public.accounts set is_active = false`);
});

const requestsOf = ({ kommo }: Account, after = 0) =>
  world.fake.requests.list({ subdomain: kommo.subdomain, after });

const becomes = ({ connection }: Account, status: string) =>
  eventually(
    async () => {
      const row = await world.one(
        sql`select status, status_reason from public.kommo_connections where id = ${connection.id}`,
      );
      return row['status'] === status ? row : undefined;
    },
    { says: `it is ${status}`, timeoutMs: 20_000 },
  );

/** So much happens meanwhile that whoever comes again has come. */
async function meanwhile(): Promise<void> {
  const other = await world.account();
  const polls = () => requestsOf(other).filter(({ endpoint }) => endpoint === 'leads');
  await eventually(() => polls().length >= 6, { says: 'others are asked', timeoutMs: 30_000 });
}

/** Connected anew through the integration: tokens that are renewed. */
async function renewable(account: Account): Promise<void> {
  const { accountId, subdomain } = account.connection;
  const tokens = account.kommo.tokens.issuePair();
  await world.owner.transaction((tx) =>
    connectKommo(tx, { box: world.by.means.box, accountId, subdomain, tokens }),
  );
}

describe('a connection whose access is refused', () => {
  test('although it is renewed asks for no more of them until somebody connects it anew', async () => {
    const account = await world.account();
    await renewable(account);
    const { subdomain } = account.kommo;
    const refused = (endpoint: 'account' | 'leads' | 'contacts' | 'users') =>
      world.fake.faults.add({ endpoint, subdomain, does: { kind: 'status', status: 401 } });
    const faults = (['account', 'leads', 'contacts', 'users'] as const).map(refused);
    worker = startWorker(world);
    await becomes(account, 'needs_reauth');
    const renewals = () =>
      requestsOf(account).filter(({ endpoint }) => endpoint === 'oauth2/access_token').length;
    expect(renewals()).toBe(1);
    await meanwhile();
    expect(renewals()).toBe(1);
    for (const { id } of faults) world.fake.faults.remove(id);
    await renewable(account);
    await becomes(account, 'connected');
    expect(renewals()).toBe(1);
  });

  test('is the one that people gave last, also while the one before is still good', async () => {
    const account = await world.account();
    const { accountId, subdomain } = account.connection;
    worker = startWorker(world);
    await eventually(() => requestsOf(account).some(({ endpoint }) => endpoint === 'leads'));
    const accessToken = account.kommo.tokens.issueLongLived();
    account.kommo.tokens.revoke(accessToken);
    await world.owner.transaction((tx) =>
      connectKommo(tx, {
        box: world.by.means.box,
        accountId,
        subdomain,
        tokens: { accessToken, refreshToken: undefined },
      }),
    );
    const row = await becomes(account, 'needs_reauth');
    expect(row['status_reason']).toContain('taken back');
  });
});

test('who is disconnected while a page is on its way is asked for nothing more, and stays disconnected', async () => {
  const running = (worker = startWorker(world));
  const account = await world.account();
  const { kommo, connection } = account;
  kommo.leads.create({ name: 'One' });
  await eventually(async () => (await world.leads(connection)).size === 1, { timeoutMs: 20_000 });
  const { subdomain } = kommo;
  const slow = { kind: 'latency', ms: 700, isAfter: true } as const;
  const fault = world.fake.faults.add({ endpoint: 'leads', subdomain, does: slow });
  kommo.leads.create({ name: 'Two' });
  await eventually(() => fault.hits > 0, { says: 'a page is on its way', timeoutMs: 20_000 });
  const { accountId, id } = connection;
  await world.owner.transaction((tx) => disconnectKommo(tx, { accountId, id }));
  await eventually(() => !running.at().includes(`kommo:${id}`), { says: 'it is let go' });
  const from = world.fake.requests.count;
  await meanwhile();
  expect(requestsOf(account, from)).toEqual([]);
  await becomes(account, 'disconnected');
  // What it was in the middle of is found once it is connected again.
  await world.reconnect(account);
  await eventually(async () => (await world.leads(connection)).size === 2, { timeoutMs: 20_000 });
});
