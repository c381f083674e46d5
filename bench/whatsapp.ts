import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BufferJSON, type AuthenticationCreds } from '@whiskeysockets/baileys';
import { createLog } from '../platform/log.ts';
import { createDatabase, type Database } from '../platform/postgres.ts';
import { createSecretBox } from '../platform/secret-box.ts';
import { findFreePort } from '../platform/services/ports.ts';
import { endProcess } from '../platform/services/processes.ts';
import { sql } from '../platform/sql.ts';
import { createWhatsappSession } from '../server/commands/whatsapp-session.ts';
import { createKeySealer } from '../server/ingest/whatsapp/key-codec.ts';
import { eventually } from '../test/support/eventually.ts';
import type { RunningRole } from '../test/support/spawn-role.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { cpuSecondsOf, residentMbOf, startIngestStack } from './ingest-stack.ts';
import { Samples } from './samples.ts';
import { settingsOf } from './stack.ts';
import { watchFeed, type FeedWatch } from './watch-feed.ts';

type Options = {
  /** 1: 200 devices. */
  readonly scale: number;
  /** Of writing at a rate. */
  readonly seconds: number;
  readonly say: (line: string) => void;
};

const DEVICES = 200;
const MESSAGES_PER_SECOND = 100;
const FIRST_PHONE = 51_999_000_000;
const PEOPLE = 20;
const FIRST_PERSON = 51_911_000_000;
const COLD_START_TIMEOUT_MS = 10 * 60_000;
const PROGRAM = fileURLToPath(new URL('../bin/clarin.mjs', import.meta.url));

/**
 * One worker with many devices: how long until all are open, what they take when nothing comes, and how long what is
 * written takes to a browser's socket, a hundred messages a second spread over them.
 */
export async function benchWhatsapp({ scale, seconds, say }: Options): Promise<void> {
  const count = Math.max(1, Math.round(DEVICES * scale));
  const cluster = await startCluster({ key: 'whatsapp', load: async () => undefined, say });
  const fake = await startFakeProcess();
  try {
    const stack = await startIngestStack(cluster, { WHATSAPP_URL: fake.url });
    const database = connect(cluster);
    try {
      await addDevices({ database, cluster, fake, count });
      const before = performance.now();
      const worker = await stack.startIngest({ NODE_EXTRA_CA_CERTS: fake.certificatePath });
      await measureColdStart({ fake, worker, count, before, database, say });
      const feed = await watchFeed(stack, 'messages', (row) => row['body']);
      await measureMessages({ fake, worker, count, feed, seconds, say });
      feed.close();
    } finally {
      await database.close();
      await stack.stop();
    }
  } finally {
    await fake.stop();
    await cluster.stop();
  }
}

type Fake = {
  readonly url: string;
  readonly httpUrl: string;
  readonly certificatePath: string;
  readonly pid: number;
  /** @throws Error when it is refused. */
  ask<T>(route: string, body?: unknown): Promise<T>;
  stop(): Promise<void>;
};

/** In a process of its own: its cryptography is not to be in the way of who measures. */
async function startFakeProcess(): Promise<Fake> {
  const port = await findFreePort();
  const words = [PROGRAM, 'fake-whatsapp', '--port', String(port), '--phone', '51900000000'];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  const { stdout } = child;
  if (!stdout) throw new Error('the fake WhatsApp says nothing');
  const ready = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the fake WhatsApp does not start')));
    createInterface({ input: stdout }).on('line', (line) => {
      if (line.startsWith('fake-whatsapp ready ')) resolve(line.slice(line.indexOf('{')));
    });
  });
  const places = JSON.parse(ready) as Pick<Fake, 'url' | 'httpUrl' | 'certificatePath'>;
  return {
    ...places,
    pid: child.pid ?? 0,
    ask: async <T>(route: string, body?: unknown) => {
      const [method = '', path = ''] = route.split(' ');
      const answer = await fetch(`${places.httpUrl}/__admin/${path}`, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${route}: ${answer.status} ${text}`);
      return (text === '' ? undefined : JSON.parse(text, BufferJSON.reviver)) as T;
    },
    stop: () => endProcess(child, 'SIGTERM', 10_000),
  };
}

function connect({ database }: Cluster): Database {
  const log = createLog({ component: 'dev', level: 'error' });
  const options = { applicationName: 'bench', max: 4, statementTimeoutMs: 60_000, log };
  return createDatabase({ url: database.url, ...options });
}

type Adding = {
  readonly database: Database;
  readonly cluster: Cluster;
  readonly fake: Fake;
  readonly count: number;
};

/** Linked already, as after so many pairings. */
async function addDevices({ database, cluster, fake, count }: Adding): Promise<void> {
  type Made = { readonly creds: AuthenticationCreds };
  const made = await fake.ask<Made[]>(`POST people/${FIRST_PHONE}/credentials`, { count });
  for (let n = 0; n < PEOPLE; n++)
    await fake.ask('POST people', { phone: String(FIRST_PERSON + n), name: `Person ${n}` });
  const key = settingsOf(cluster)['CLARIN_ENCRYPTION_KEY'] ?? '';
  const box = createSecretBox(Buffer.from(key, 'hex'));
  const [account] = await database.query(sql`
    update public.accounts set max_devices = ${count + 10} returning id`);
  const accountId = Number(account?.['id']);
  for (const [n, { creds }] of made.entries()) {
    const phone = String(FIRST_PHONE + n);
    const [row] = await database.query(sql`
      insert into public.devices (account_id, name, phone, wanted)
      values (${accountId}, ${`Device ${n}`}, ${phone}, 'connected') returning id`);
    const deviceId = Number(row?.['id']);
    const sealer = createKeySealer(box, deviceId);
    await createWhatsappSession(database, { accountId, deviceId }, sealer.sealCreds(creds));
  }
}

type Measuring = {
  readonly fake: Fake;
  readonly worker: RunningRole;
  readonly count: number;
  readonly say: (line: string) => void;
};

async function measureColdStart({
  fake,
  worker,
  count,
  before,
  database,
  say,
}: Measuring & { before: number; database: Database }): Promise<void> {
  const emptyMb = residentMbOf(worker.pid);
  await eventually(
    async () => {
      const [row] = await database.query(sql`
        select count(*) as open from public.devices where status = 'connected'`);
      return Number(row?.['open']) >= count;
    },
    { timeoutMs: COLD_START_TIMEOUT_MS, everyMs: 100, says: 'all devices are connected' },
  );
  const took = (performance.now() - before) / 1_000;
  const { open, doubles } = await fake.ask<{ open: number; doubles: number }>('GET connections');
  say(`${count} devices, one worker, from its start until all are connected: ${took.toFixed(1)} s`);
  say(`  open at WhatsApp: ${open}, opened twice at once: ${doubles}`);
  say(`  CPU of the worker: ${cpuSecondsOf(worker.pid).toFixed(1)} s`);
  const cpu = cpuSecondsOf(worker.pid);
  await pause(QUIET_SECONDS);
  const mb = residentMbOf(worker.pid);
  say(
    `quiet for ${QUIET_SECONDS} s: ${mb.toFixed(0)} MiB resident, ${(((mb - emptyMb) / count) * 1_024).toFixed(0)} KiB a device; ` +
      `CPU ${(((cpuSecondsOf(worker.pid) - cpu) / QUIET_SECONDS) * 100).toFixed(1)} % of a core`,
  );
  say(`  ${await loopDelayOf(worker)}`);
}

const QUIET_SECONDS = 30;

async function measureMessages({
  fake,
  worker,
  count,
  feed,
  seconds,
  say,
}: Measuring & { feed: FeedWatch; seconds: number }): Promise<void> {
  const write = async (device: number, text: string): Promise<number> => {
    const at = performance.now();
    const from = String(FIRST_PERSON + (device % PEOPLE));
    await fake.ask('POST messages', { from, to: String(FIRST_PHONE + device), what: { text } });
    return (await feed.waitFor(text)) - at;
  };
  const measure = async (name: string, total: number, perSecond: number): Promise<void> => {
    const samples = new Samples();
    const cpu = { worker: cpuSecondsOf(worker.pid), fake: cpuSecondsOf(fake.pid) };
    const beganAt = performance.now();
    const writing: Promise<void>[] = [];
    for (let n = 0; n < total; n++) {
      await pause((beganAt + (n * 1_000) / perSecond - performance.now()) / 1_000);
      writing.push(
        write(n % count, `${name} ${n}`).then((millis) =>
          samples.add(millis, { status: 200, cache: undefined }),
        ),
      );
    }
    await Promise.all(writing);
    const took = (performance.now() - beganAt) / 1_000;
    const [p50, p99, max] = [0.5, 0.99, 1].map((share) => samples.quantile(share).toFixed(0));
    const share = (pid: number, from: number): string =>
      `${(((cpuSecondsOf(pid) - from) / took) * 100).toFixed(0)} %`;
    say(
      `${name}, ${total} messages at ${perSecond} a second: to a browser's socket p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`,
    );
    say(
      `  all there after ${took.toFixed(1)} s; CPU of the worker ${share(worker.pid, cpu.worker)}, of the fake ${share(fake.pid, cpu.fake)}; ${residentMbOf(worker.pid).toFixed(0)} MiB resident`,
    );
    say(`  ${await loopDelayOf(worker)}`);
  };
  await measure('first messages of new people', count, MESSAGES_PER_SECOND / 5);
  await measure('messages', seconds * MESSAGES_PER_SECOND, MESSAGES_PER_SECOND);
}

/** As its metrics have it, since they were last asked. */
async function loopDelayOf({ url }: RunningRole): Promise<string> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string): string => {
    const [, seconds = '0'] =
      new RegExp(`^\\S*${name}_seconds(?:{[^}]*})? (\\S+)`, 'm').exec(text) ?? [];
    return (Number(seconds) * 1_000).toFixed(0);
  };
  return `event loop's delay: p50 ${value('eventloop_lag_p50')} ms, p99 ${value('eventloop_lag_p99')} ms, longest ${value('eventloop_lag_max')} ms`;
}

const pause = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, seconds * 1_000)));
