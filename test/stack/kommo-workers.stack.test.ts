import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import type { LoggedRequest } from '../../fakes/kommo/request-log.ts';
import { eventually } from '../support/services.ts';
import {
  startKommoStack,
  type IngestProcess,
  type KommoStack,
  type Tenant,
} from './support/kommo-stack.ts';

const ACCOUNTS = 40;
/** Three pages. */
const LEADS_OF_BIG = 600;
const SPEED = { KOMMO_REQUESTS_PER_SECOND: '400', LOG_LEVEL: 'warn' };
const TAKEOVER_MS = 30_000;

const isOfEverything = ({ path }: LoggedRequest): boolean =>
  path.includes('order%5Bid') && !path.includes('updated_at');
const isPass = ({ path }: LoggedRequest): boolean =>
  path.includes('order%5Bupdated_at') && !path.includes('only_deleted');

describe('processes that share the reading of Kommo', () => {
  let stack: KommoStack;
  const processes = new Map<string, IngestProcess>();
  let big: Tenant;
  const tenants: Tenant[] = [];

  beforeAll(async () => {
    // As much as they want: how fast it goes is another test's.
    stack = await startKommoStack({ perSecond: 100_000, banAfter: null });
    for (const name of ['one', 'two']) processes.set(name, await stack.spawn(SPEED, name));
    await stack.untilAlive(2);
    for (let index = 1; index < ACCOUNTS; index++)
      tenants.push(await stack.connect(`small-${index}`, { leads: 4, contacts: 4 }));
    big = await stack.connect('big', { leads: LEADS_OF_BIG, contacts: 50 });
    tenants.push(big);
  });
  afterAll(() => stack.close());

  const requestsOf = (tenant: Tenant, after = 0): LoggedRequest[] =>
    stack.fake.requests.list({ subdomain: tenant.kommo.subdomain, after });

  /** Who asked for a tenant, in the order in which they came and went. */
  const askersOf = (tenant: Tenant, after = 0): string[] =>
    requestsOf(tenant, after)
      .map(({ address }) => address)
      .filter((address, index, all) => address !== all[index - 1]);

  const fences = async (): Promise<Map<number, number>> => {
    const rows = await stack.owner.query(sql`
      select substr(resource, 7) as id, fence from private.ingest_leases`);
    return new Map(rows.map((row) => [Number(row['id']), Number(row['fence'])]));
  };

  const everythingIsRead = async (): Promise<boolean> => {
    const rows = await stack.owner.query(sql`
      select id from public.kommo_connections where full_sync_state = 'done'`);
    return rows.length === ACCOUNTS;
  };

  /** Something in each of them. */
  function change(name: string): void {
    for (const { kommo } of tenants) {
      const [lead] = kommo.leads.all();
      if (lead) kommo.leads.update(lead.id, { name });
    }
  }

  /** So much changes in `big` that a pass has several pages; who has half of the second one is killed. Gives its name, and the last request's number. */
  async function killInMidPage(): Promise<{ killed: string; last: number }> {
    const from = stack.fake.requests.count;
    big.kommo.bulkEdit('leads', {});
    const stall = { kind: 'stall' } as const;
    stack.fake.faults.add({ subdomain: 'big', endpoint: 'leads', skip: 1, times: 1, does: stall });
    const stalled = await eventually(
      () => requestsOf(big, from).find(({ faults }) => faults.includes('stall')),
      { says: 'a page stalls', timeoutMs: 30_000 },
    );
    expect(stalled.path).toContain('updated_at');
    const killed = processes.get(stalled.address);
    killed?.kill('SIGKILL');
    await killed?.exited;
    processes.delete(stalled.address);
    return { killed: stalled.address, last: stack.fake.requests.count };
  }

  it('share forty accounts, and each is asked by one of them', async () => {
    await stack.untilEqual(tenants);
    await eventually(everythingIsRead, { says: 'everything is read once', timeoutMs: 30_000 });
    const shares = [...(await stack.shares()).values()].map((ids) => ids.length);
    expect(shares).toEqual([ACCOUNTS / 2, ACCOUNTS / 2]);
    for (const tenant of tenants) expect(askersOf(tenant)).toHaveLength(1);
  });

  it('lose nothing when one is killed in the middle of a page: the other has all within 30 s, and none is read twice', async () => {
    const before = await fences();
    const sharesBefore = [...(await stack.shares()).values()];
    change('Before the end');
    const { killed, last } = await killInMidPage();
    const from = performance.now();
    change('While nobody reads half of them');
    const [other] = processes.keys();
    await eventually(
      async () => {
        const [ids, ...others] = [...(await stack.shares()).values()];
        return others.length === 0 && ids?.length === ACCOUNTS;
      },
      { says: 'one has them all', timeoutMs: TAKEOVER_MS },
    );
    const tookMs = Math.round(performance.now() - from);
    process.stdout.write(`the other process had all ${ACCOUNTS} connections after ${tookMs} ms\n`);
    await stack.untilEqual(tenants);
    change('Afterwards');
    await stack.untilEqual(tenants);

    for (const tenant of tenants) {
      // What the dead one had sent may have come later than its end.
      const asked = requestsOf(tenant, last).filter(({ address }) => address !== killed);
      expect(new Set(asked.map(({ address }) => address))).toEqual(new Set([other]));
      // Everything was read once. What is read now is what changed, by pairs of lists: contacts, leads.
      expect(asked.filter(isOfEverything)).toEqual([]);
      const count = (endpoint: string): number =>
        asked.filter((request) => request.endpoint === endpoint && isPass(request)).length;
      if (tenant !== big) expect(Math.abs(count('contacts') - count('leads'))).toBeLessThan(2);
    }
    const after = await fences();
    const kept = sharesBefore.find((ids) => !ids.includes(big.connectionId)) ?? [];
    for (const [id, fence] of after)
      expect([id, fence - (before.get(id) ?? 0)]).toEqual([id, kept.includes(id) ? 0 : 1]);
  });

  it('lose nothing when the last one is killed, and a new one is started', async () => {
    change('Before the last one ends');
    const { killed, last } = await killInMidPage();
    change('While nobody reads');
    // So long a worker is believed: it passes at once.
    await stack.owner.query(sql`update private.ingest_workers set expires_at = clock_timestamp()`);
    const third = await stack.spawn(SPEED, 'three');
    await stack.untilEqual(tenants);
    for (const tenant of tenants) {
      const askers = new Set(askersOf(tenant, last));
      askers.delete(killed);
      expect(askers).toEqual(new Set([third.name]));
    }
  });
});
