import { createServer, request as ask, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inject } from 'vitest';
import { startFakeKommo, type FakeKommo } from '../../../fakes/kommo/fake-kommo.ts';
import type { LimiterSettings } from '../../../fakes/kommo/limiter.ts';
import type { World } from '../../../fakes/kommo/world.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { createSecretBox } from '../../../platform/secret-box.ts';
import { sql } from '../../../platform/sql.ts';
import { connectKommo } from '../../../server/commands/connect-kommo.ts';
import { differences, storedOf } from '../../server/kommo-stored.ts';
import { sharedIn, truthOf, type TruthSetting } from '../../server/kommo-truth.ts';
import { createTestDatabase, eventually } from '../../support/services.ts';
import { spawnRole, type RunningRole } from '../../support/spawn-role.ts';

/** An account of ours, connected to one of the fake's whose pipelines are all followed. */
export type Tenant = {
  readonly kommo: World;
  readonly accountId: number;
  readonly connectionId: number;
  readonly setting: TruthSetting;
};

export type IngestProcess = RunningRole & {
  /** The fake knows its requests by it, where it was given one. */
  readonly name: string;
};

/** What Kommo's workers need and no more: a database, a fake Kommo in this process, and processes of role ingest. */
export type KommoStack = {
  readonly fake: FakeKommo;
  /** As superuser. */
  readonly owner: Database;
  connect(subdomain: string, size: { leads: number; contacts: number }): Promise<Tenant>;
  /** One more process. With a name its requests come from an address of that name, else all come from one. */
  spawn(more?: Record<string, string>, name?: string): Promise<IngestProcess>;
  /** Until so many say that they live. */
  untilAlive(count: number): Promise<unknown>;
  /** Connections by the worker that has them. */
  shares(): Promise<Map<string, number[]>>;
  /** Until Postgres holds what is in the fake. */
  untilEqual(tenants: readonly Tenant[], timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
};

const KEY = '5e'.repeat(32);

export async function startKommoStack(limiter: Partial<LimiterSettings>): Promise<KommoStack> {
  const database = await createTestDatabase();
  const fake = await startFakeKommo({ limiter });
  const log = createLog({ component: 'api', level: 'silent' });
  const pool = { applicationName: 'kommo stack', max: 4, statementTimeoutMs: 60_000, log };
  const owner = createDatabase({ url: database.ownerUrl, ...pool });
  const url = new URL(database.url);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  const environment = {
    DATABASE_URL: url.href,
    CLARIN_ENCRYPTION_KEY: KEY,
    MEDIA_DIR: join(inject('runDirectory'), 'media'),
    KOMMO_URL: `${fake.url}/{subdomain}`,
  };
  const spawned: RunningRole[] = [];
  const doors: Server[] = [];
  return {
    fake,
    owner,
    connect: (subdomain, size) => connect({ fake, owner }, subdomain, size),
    spawn: async (more = {}, name = '') => {
      const door = name === '' ? undefined : await openDoor(fake, name);
      if (door) doors.push(door.server);
      const through = door ? { KOMMO_URL: `${door.url}/{subdomain}` } : {};
      const own = { ...environment, ...through, ...more };
      const running = await spawnRole('ingest', own, { until: 'live' });
      spawned.push(running);
      return { ...running, name };
    },
    untilAlive: (count) =>
      eventually(
        async () => {
          const rows = await owner.query(sql`
            select id from private.ingest_workers where expires_at > clock_timestamp()`);
          return rows.length === count;
        },
        { says: `${count} workers are alive`, timeoutMs: 30_000 },
      ),
    shares: () => readShares(owner),
    untilEqual: (tenants, timeoutMs = 60_000) => untilEqual(owner, tenants, timeoutMs),
    close: async () => {
      await Promise.all(spawned.map((running) => running.stop()));
      for (const door of doors) {
        door.closeAllConnections();
        await new Promise((resolve) => door.close(resolve));
      }
      await fake.stop();
      await owner.close();
      await database.drop();
    },
  };
}

async function connect(
  { fake, owner }: { fake: FakeKommo; owner: Database },
  subdomain: string,
  size: { leads: number; contacts: number },
): Promise<Tenant> {
  const { longLivedToken } = fake.createAccount({ subdomain });
  const kommo = fake.world(subdomain);
  kommo.generate(size);
  const [account] = await owner.query(sql`
    insert into public.accounts (name, slug, default_country) values (${subdomain}, ${subdomain}, 'PE') returning id`);
  const accountId = Number(account?.['id']);
  const box = createSecretBox(Buffer.from(KEY, 'hex'));
  const tokens = { accessToken: longLivedToken, refreshToken: undefined };
  const pipelines = kommo.pipelines.list();
  const { value: connectionId } = await owner.transaction(async (tx) => {
    await tx.query(sql`select clarin.seed_account_defaults(${accountId})`);
    const { json } = await connectKommo(tx, { box, accountId, subdomain, tokens });
    const { id } = JSON.parse(json) as { id: number };
    // Chosen before the worker has seen them.
    for (const pipeline of pipelines)
      await tx.query(sql`
        insert into public.kommo_pipelines (account_id, connection_id, kommo_id, name, is_connected)
        values (${accountId}, ${id}, ${pipeline.id}, ${pipeline.name}, true)`);
    return id;
  });
  const followed = new Set(pipelines.map(({ id }) => id));
  return { kommo, accountId, connectionId, setting: { followed, members: new Map() } };
}

/** A way to the fake by which it can tell who asks. */
async function openDoor(fake: FakeKommo, name: string): Promise<{ server: Server; url: string }> {
  const server = createServer((asked, answer) => {
    const { method, url: path, headers } = asked;
    const onward = ask(
      {
        host: '127.0.0.1',
        port: fake.port,
        method,
        path,
        headers: { ...headers, 'x-forwarded-for': name },
      },
      (answered) => {
        answer.writeHead(answered.statusCode ?? 502, answered.rawHeaders);
        answered.pipe(answer);
        answered.on('error', () => answer.destroy());
      },
    );
    onward.on('error', () => answer.destroy());
    // Who asked is no more.
    answer.on('close', () => onward.destroy());
    asked.pipe(onward);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { server, url: `http://127.0.0.1:${port}` };
}

async function readShares(owner: Database): Promise<Map<string, number[]>> {
  const rows = await owner.query(sql`
    select lease.owner, json_agg(substr(lease.resource, 7)::bigint) as ids
    from private.ingest_leases as lease
    join private.ingest_workers as worker on worker.id = lease.owner and worker.expires_at > clock_timestamp()
    where starts_with(lease.resource, 'kommo:')
    group by lease.owner`);
  return new Map(
    rows.map((row) => [row['owner'] ?? '', JSON.parse(row['ids'] ?? '[]') as number[]]),
  );
}

async function untilEqual(
  owner: Database,
  tenants: readonly Tenant[],
  timeoutMs: number,
): Promise<void> {
  await eventually(
    async () => {
      for (const { kommo, accountId, connectionId, setting } of tenants) {
        const stored = await storedOf(owner, { accountId, id: connectionId });
        const truth = truthOf(kommo, setting);
        const [first, ...more] = differences({ truth, shared: sharedIn(truth) }, stored);
        if (first) throw new Error(`${kommo.subdomain}: ${first}, and ${more.length} more`);
      }
      return true;
    },
    { timeoutMs, everyMs: 500, says: 'Postgres holds what is in Kommo' },
  );
}
