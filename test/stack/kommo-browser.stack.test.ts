import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeKommo, type FakeKommo } from '../../fakes/kommo/fake-kommo.ts';
import type { LeadRow } from '../../fakes/kommo/model.ts';
import type { World } from '../../fakes/kommo/world.ts';
import type { Database } from '../../platform/postgres.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import { startStack, type Stack, type TestAccount } from './support/stack.ts';

const SUBDOMAIN = 'acme';
/** Far more than it takes. */
const TIMEOUT_MS = 30_000;

type Data<T> = { readonly data: T };

/** The whole way: from a person at work in Kommo to a person who looks at Clarin. */
describe('a change in Kommo', () => {
  let fake: FakeKommo;
  let kommo: World;
  let stack: Stack;
  let truth: Database;
  let account: TestAccount;
  let connectionId: number;
  let browser: ModelClient;
  let lead: LeadRow;

  async function request<T>(route: string, body?: unknown): Promise<T> {
    const { status, text, json } = await stack.request(account, route, body);
    if (status >= 300) throw new Error(`${route}: ${status} ${text}`);
    return (json as Data<T>).data;
  }

  /** As a person does it: the token, then the pipelines that were found. */
  async function connect(token: string): Promise<void> {
    const connecting = { subdomain: SUBDOMAIN, access_token: token };
    ({ id: connectionId } = await request<{ id: number }>(
      'POST /api/kommo/connections',
      connecting,
    ));
    const path = `/api/kommo/connections/${connectionId}/pipelines`;
    const found = await eventually(
      async () => {
        const pipelines = await request<{ id: number }[]>(`GET ${path}`);
        return pipelines.length > 0 && pipelines;
      },
      { says: 'the pipelines are found', timeoutMs: TIMEOUT_MS },
    );
    await request(`PUT ${path}`, { connected_ids: found.map(({ id }) => id) });
  }

  beforeAll(async () => {
    fake = await startFakeKommo();
    const { longLivedToken } = fake.createAccount({ subdomain: SUBDOMAIN });
    kommo = fake.world(SUBDOMAIN);
    kommo.generate({ leads: 5, contacts: 5 });
    stack = await startStack({ more: { KOMMO_URL: `${fake.url}/{subdomain}` } });
    truth = openTruth(stack);
    [account] = stack.accounts;
    const url = new URL(stack.database.url);
    if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
    await stack.spawn('ingest', { DATABASE_URL: url.href });
    await connect(longLivedToken);
    browser = await startModel(stack, truth, account, [{ table: 'leads' }]);
    [lead] = kommo.leads.all() as Iterable<LeadRow> as [LeadRow];
    await eventually(() => browser.tables.get('leads')?.size === 5, {
      says: 'the leads are in the browser',
      timeoutMs: TIMEOUT_MS,
    });
  });
  afterAll(async () => {
    browser.close();
    await truth.close();
    await stack.close();
    await fake.stop();
  });

  /** The lead is called so over there; gives how long until it is called so in the browser, ms. */
  async function rename(name: string): Promise<number> {
    const from = performance.now();
    kommo.leads.update(lead.id, { name });
    const commit = await eventually(
      () =>
        browser.commits.find(({ changes }) =>
          changes.some((change) => 'row' in change && change.row?.['title'] === name),
        ),
      { says: `${name} reaches the browser`, timeoutMs: TIMEOUT_MS, everyMs: 2 },
    );
    expect(commit.origin).toMatchObject({ source: 'kommo' });
    expect(commit.changes).toHaveLength(1);
    expect(commit.changes[0]).toMatchObject({ table: 'leads', op: 'update' });
    expect(browser.faults).toEqual([]);
    return Math.round(performance.now() - from);
  }

  it('reaches the browser by the passes every few seconds', async () => {
    process.stdout.write(`by polling: ${await rename('Seen by a pass')} ms\n`);
  });

  it('reaches the browser by a webhook, when nobody passes', async () => {
    const route = `POST /api/kommo/connections/${connectionId}/webhook`;
    const { path } = await request<{ path: string }>(route, {});
    // The right to see contacts is taken away: passes over what changed rest for ten minutes, hints do not.
    const does = { kind: 'status', status: 403 } as const;
    fake.faults.add({ subdomain: SUBDOMAIN, endpoint: 'contacts', does });
    await eventually(() => fake.requests.list({ status: 403 }).length > 0, {
      says: 'a pass is refused',
      timeoutMs: TIMEOUT_MS,
    });
    const before = fake.requests.count;
    kommo.webhooks.set(`${stack.api.url}${path}`, ['update_lead']);
    const tookMs = [await rename('Told by a webhook'), await rename('And another time')];
    process.stdout.write(`by a webhook: ${tookMs.join(' and ')} ms\n`);
    expect(kommo.webhooks.deliveries.map(({ status }) => status)).toEqual([204, 204]);
    const asked = fake.requests.list({ endpoint: 'leads', after: before });
    expect(
      asked.filter(({ path: of }) => of.includes('with=contacts') && /order/.test(of)),
    ).toEqual([]);
    expect(asked.length).toBeGreaterThan(0);
  });
});
