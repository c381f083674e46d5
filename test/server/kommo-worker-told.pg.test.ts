import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { acceptKommoHints } from '../../server/commands/kommo-webhook.ts';
import { eventually } from '../support/eventually.ts';
import { createHeldClock, startWorker, type WorkerProcess } from './kommo-worker-process.ts';
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

const pathsOf = ({ kommo }: Account, after = 0): string[] =>
  world.fake.requests
    .list({ subdomain: kommo.subdomain, after })
    .map(({ path }) => decodeURIComponent(path));

const count = async ({ connection }: Account): Promise<number> =>
  (await world.leads(connection)).size;

/** So many leads are here, and what was to be read as a whole is. */
const settled = (account: Account, leads: number): Promise<boolean> =>
  eventually(
    async () => {
      const { full_sync_state: state } = await world.one(sql`
        select full_sync_state from public.kommo_connections where id = ${account.connection.id}`);
      return state === 'done' && (await count(account)) === leads;
    },
    { says: `${leads} leads are here`, timeoutMs: 20_000 },
  );

describe('what a worker is told', () => {
  test('of a row is fetched at once and by its id, though no time goes by', async () => {
    const clock = createHeldClock();
    worker = startWorker(world, { clock });
    const account = await world.account();
    const { kommo, connection } = account;
    const lead = kommo.leads.create({ name: 'First' });
    await settled(account, 1);
    clock.hold();
    // Three loops of the connection, the look at all of them, and the ear.
    await eventually(() => clock.waiting() === 5, { says: 'nothing is under way' });
    const from = world.fake.requests.count;
    kommo.leads.update(lead.id, { name: 'Second' });
    const fresh = kommo.leads.create({ name: 'Fresh' });
    await world.owner.transaction((tx) =>
      acceptKommoHints(
        tx,
        { accountId: connection.accountId, connectionId: connection.id },
        [lead, fresh].map(({ id }) => ({ entity: 'lead', kommoId: id })),
      ),
    );
    await eventually(async () => (await world.titles(account))[fresh.id] === 'Fresh', {
      says: 'what was told of is here',
    });
    expect(await world.titles(account)).toEqual(world.truth(account));
    expect(pathsOf(account, from)).toEqual([
      expect.stringContaining(`filter[id][]=${lead.id}&filter[id][]=${fresh.id}`),
    ]);
  });

  test('to follow is read by itself, of whatever age', async () => {
    worker = startWorker(world);
    const account = await world.account();
    const { kommo, connection, pipelineId } = account;
    kommo.generate({ leads: 400, contacts: 100 });
    const inPipeline = (id: number): number =>
      [...kommo.leads.all()].filter((row) => row.pipelineId === id).length;
    const other = kommo.pipelines.list().find(({ id }) => id !== pipelineId)!.id;
    await settled(account, inPipeline(pipelineId));
    const from = world.fake.requests.count;
    await world.follow(connection, [pipelineId, other]);
    await settled(account, inPipeline(pipelineId) + inPipeline(other));
    const whole = pathsOf(account, from).filter((path) => path.includes('filter[pipeline_id]'));
    expect(whole.length).toBeGreaterThan(0);
    for (const path of whole) expect(path).not.toContain(`filter[pipeline_id][]=${pipelineId}`);
  });
});
