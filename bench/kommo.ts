import { createRandom } from '../fakes/kommo/random.ts';
import { startFakeKommo, type FakeKommo } from '../fakes/kommo/fake-kommo.ts';
import { sql } from '../platform/sql.ts';
import { eventually } from '../test/support/eventually.ts';
import { startCluster, withClient, type Cluster } from './cluster.ts';
import { call, cpuSecondsOf, startIngestStack, type IngestStack } from './ingest-stack.ts';
import { Samples } from './samples.ts';
import { watchFeed } from './watch-feed.ts';

type Options = {
  /** 1: 50,000 leads and 50,000 contacts. */
  readonly scale: number;
  /** Of the quiet at the end. */
  readonly seconds: number;
  readonly seed: number;
  readonly say: (line: string) => void;
};

const ROWS = 50_000;
const PAGE = 250;
const REQUESTS_PER_SECOND = 6;
const CHANGES = 10;
const SUBDOMAIN = 'bench';
const FIRST_SYNC_TIMEOUT_MS = 30 * 60_000;

/**
 * One connection from nothing: how long the first reading takes and how many requests, against the fewest that could do
 * it; what a quiet Kommo costs; how long a change takes to a browser's socket.
 */
export async function benchKommo({ scale, seconds, seed, say }: Options): Promise<void> {
  const rows = Math.max(1, Math.round(ROWS * scale));
  const cluster = await startCluster({ key: 'kommo', load: async () => undefined, say });
  const fake = await startFakeKommo({ seed });
  try {
    const { longLivedToken } = fake.createAccount({ subdomain: SUBDOMAIN });
    fake.world(SUBDOMAIN).generate({ leads: rows, contacts: rows });
    const stack = await startIngestStack(cluster, { KOMMO_URL: `${fake.url}/{subdomain}` });
    await stack.startIngest();
    try {
      const connect = () => connectAll(stack, longLivedToken);
      await measureFirst({ cluster, fake, stack, rows, connect, say });
      await measureQuiet({ cluster, fake, stack, seconds, say });
      await measureChanges({ fake, stack, seed, say });
    } finally {
      await stack.stop();
    }
  } finally {
    await fake.stop();
    await cluster.stop();
  }
}

type Rows = { readonly data: readonly { readonly id: number }[] };

/** Connects, and follows every pipeline as soon as they are known. */
async function connectAll({ api, token }: IngestStack, accessToken: string): Promise<void> {
  const body = { subdomain: SUBDOMAIN, access_token: accessToken };
  const { data } = await call<{ data: { id: number } }>(
    api,
    'POST /api/kommo/connections',
    token,
    body,
  );
  const path = `/api/kommo/connections/${data.id}/pipelines`;
  const list = await eventually(
    async () => {
      const found = await call<Rows>(api, `GET ${path}`, token);
      return found.data.length > 0 && found;
    },
    { timeoutMs: 60_000, says: 'the pipelines are known' },
  );
  if (!list) return;
  await call(api, `PUT ${path}`, token, { connected_ids: list.data.map(({ id }) => id) });
}

type Measuring = {
  readonly cluster: Cluster;
  readonly fake: FakeKommo;
  readonly stack: IngestStack;
  readonly say: (line: string) => void;
};

async function measureFirst({
  cluster,
  fake,
  stack,
  rows,
  connect,
  say,
}: Measuring & { rows: number; connect: () => Promise<void> }): Promise<void> {
  const startedAt = performance.now();
  const cpu = cpuSecondsOf(stack.ingestPid());
  await connect();
  await eventually(
    () =>
      withClient(cluster.database.url, async (db) => {
        const [row] = await db.query(sql`
          select (select count(*) from public.leads where kommo_id is not null) as leads,
            (select count(*) from public.contacts where kommo_id is not null) as contacts`);
        return Number(row?.['leads']) >= rows && Number(row?.['contacts']) >= rows;
      }),
    { timeoutMs: FIRST_SYNC_TIMEOUT_MS, everyMs: 250, says: 'everything has been read' },
  );
  const took = (performance.now() - startedAt) / 1_000;
  const requests = fake.requests.list({ subdomain: SUBDOMAIN }).length;
  const least = 2 * Math.ceil(rows / PAGE);
  say(`first reading: ${rows} leads and ${rows} contacts in ${took.toFixed(1)} s`);
  say(
    `  ${requests} requests, at least ${least} pages: ${(requests / least).toFixed(2)} times; ` +
      `the limit alone would take ${(requests / REQUESTS_PER_SECOND).toFixed(1)} s for them`,
  );
  say(`  most requests in any second: ${fake.requests.mostInAnySecond()}`);
  say(
    `  CPU of the worker: ${(cpuSecondsOf(stack.ingestPid()) - cpu).toFixed(1)} s, ${Math.round((2 * rows) / took)} rows/s`,
  );
}

async function measureQuiet({
  cluster,
  fake,
  stack,
  seconds,
  say,
}: Measuring & { seconds: number }): Promise<void> {
  const written = () =>
    withClient(cluster.database.url, async (db) => {
      const [row] = await db.query(sql`
        select sum(n_tup_ins + n_tup_upd + n_tup_del) filter (where persistence = 'p') as logged,
          sum(n_tup_ins + n_tup_upd + n_tup_del) filter (where schemaname = 'public') as published
        from pg_stat_user_tables
        join (select oid, relpersistence as persistence from pg_class) as class on class.oid = relid
        where relname not in ('leader', 'heartbeats')`);
      return { logged: Number(row?.['logged']), published: Number(row?.['published']) };
    });
  // What was written a moment ago is counted a moment later.
  await pause(15);
  const before = { ...(await written()), cpu: cpuSecondsOf(stack.ingestPid()) };
  const requests = fake.requests.list({ subdomain: SUBDOMAIN }).length;
  await pause(seconds);
  const after = { ...(await written()), cpu: cpuSecondsOf(stack.ingestPid()) };
  const asked = fake.requests.list({ subdomain: SUBDOMAIN }).length - requests;
  say(`quiet for ${seconds} s: ${asked} requests`);
  say(
    `  rows written: ${after.published - before.published} in published tables, ${after.logged - before.logged} in all that are logged`,
  );
  say(
    `  CPU of the worker: ${(((after.cpu - before.cpu) / seconds) * 100).toFixed(1)} % of a core`,
  );
}

const pause = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1_000));

async function measureChanges({
  fake,
  stack,
  seed,
  say,
}: Pick<Measuring, 'fake' | 'stack' | 'say'> & { seed: number }): Promise<void> {
  const seen = await watchFeed(stack, 'leads', (row) => row['title']);
  const world = fake.world(SUBDOMAIN);
  const random = createRandom(seed, 'changes');
  const ids = [...world.leads.all()].filter(
    ({ isDeleted, isUnsorted }) => !isDeleted && !isUnsorted,
  );
  const measure = async (name: string): Promise<void> => {
    const samples = new Samples();
    for (let at = 0; at < CHANGES; at++) {
      const title = `${name} ${at}`;
      const { id } = random.pick(ids);
      const changedAt = performance.now();
      world.leads.update(id, { name: title });
      await seen.waitFor(title);
      samples.add(performance.now() - changedAt, { status: 200, cache: undefined });
      // Not in step with the passes.
      await pause(random.next() * 3);
    }
    const [p50, max] = [0.5, 1].map((share) => (samples.quantile(share) / 1_000).toFixed(2));
    say(
      `a change over there reaches a socket here ${name}: p50 ${p50} s, longest of ${CHANGES} ${max} s`,
    );
  };
  await measure('by polling');
  const { data } = await call<{ data: readonly { id: number }[] }>(
    stack.api,
    'GET /api/kommo/connections',
    stack.token,
  );
  const path = `POST /api/kommo/connections/${data[0]?.id}/webhook`;
  const hook = await call<{ data: { path: string } }>(stack.api, path, stack.token, {});
  world.webhooks.set(`${stack.api.url}${hook.data.path}`, ['update_lead']);
  await measure('by a webhook');
  seen.close();
}
