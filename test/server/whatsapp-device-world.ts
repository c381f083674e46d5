import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { startFakeWhatsApp, type FakeWhatsApp } from '../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { sleep } from '../../platform/backoff.ts';
import { createLog } from '../../platform/log.ts';
import { createLocalStore } from '../../platform/media/local-store.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { createDatabase, type Database, type TextRow } from '../../platform/postgres.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import type { Lease } from '../../server/commands/lease-work.ts';
import { pairDevice } from '../../server/commands/pair-device.ts';
import { wantOfDevice } from '../../server/commands/want-of-device.ts';
import { createWhatsappSession } from '../../server/commands/whatsapp-session.ts';
import { systemClock, type Clock } from '../../server/ingest/clock.ts';
import { createDeviceMeans } from '../../server/ingest/whatsapp/device-means.ts';
import { createKeySealer } from '../../server/ingest/whatsapp/key-codec.ts';
import type { SocketMeans } from '../../server/ingest/whatsapp/open-socket.ts';
import { WhatsappWorker } from '../../server/ingest/whatsapp/worker.ts';
import { createAccount } from '../support/account-fixture.ts';
import { createTestDatabase, eventually } from '../support/services.ts';

/** Time goes so much faster here than where it is waited for by the clock: a minute in three seconds. */
const HASTE = 20;
const hasty: Clock = {
  now: () => systemClock.now(),
  elapsed: () => systemClock.elapsed() * HASTE,
  sleep: (ms, signal) => sleep(ms / HASTE, signal),
  random: () => 0.5,
};

export type TestDevice = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly worker: TestWorker;
  readonly person: Person;
  /** Of the fake, when it is linked already. */
  readonly linked: LinkedDevice | undefined;
  row(): Promise<TextRow>;
  pairing(): Promise<TextRow | undefined>;
  /** When the row says so. */
  becomes(expected: Partial<TextRow>, says?: string): Promise<TextRow>;
  wants(wanted: 'connected' | 'disconnected' | 'logged_out'): Promise<void>;
  pair(how: { kind: 'qr' } | { kind: 'code'; phone: string }): Promise<void>;
  /** The text of the QR or the code that is shown, another one than `not`. */
  shown(not?: string): Promise<string>;
  hasSession(): Promise<boolean>;
  /** Somebody else has it from now on. */
  lose(): Promise<Lease>;
  logins(): number;
};

export type TestWorker = {
  readonly metrics: Metrics;
  /** For leases that are shared. */
  readonly devices: WhatsappWorker;
  /** Work for the device, as by a lease. */
  hold(deviceId: number): Promise<Lease>;
  /** Resources whose lease was said to be lost. */
  readonly lost: string[];
  stop(): Promise<void>;
};

export type DeviceWorld = {
  readonly fake: FakeWhatsApp;
  readonly owner: Database;
  readonly ingestUrl: string;
  worker(timing?: SocketMeans['timing'], url?: string): TestWorker;
  /** Of an account of its own; `isLinked`: as after a pairing, and wanted connected. */
  device(options?: {
    isLinked?: boolean;
    /** `none`: whoever gets its lease. */
    worker?: TestWorker | 'none';
    accountId?: number;
    person?: Person;
  }): Promise<TestDevice>;
  person(): Person;
  /** After each test: nobody works, nothing goes wrong, every version is as good as any. */
  reset(): Promise<void>;
};

let numbers = 0;

export async function openDeviceWorld(): Promise<DeviceWorld> {
  const log = createLog({ component: 'whatsapp', level: process.env['TEST_LOG'] ?? 'silent' });
  const test = await createTestDatabase();
  const fake = await startFakeWhatsApp();
  const directory = await mkdtemp(join(tmpdir(), 'clarin-test-'));
  const connect = (url: string): Database =>
    createDatabase({
      url,
      applicationName: 'test devices',
      max: 8,
      statementTimeoutMs: 5_000,
      log,
    });
  const owner = connect(test.ownerUrl);
  const ingest = new URL(test.url);
  if (ingest.username === 'clarin_test_api') ingest.username = 'clarin_test_ingest';
  const ingestUrl = ingest.href;
  const database = connect(ingestUrl);
  const box = createSecretBox(randomBytes(32));
  const media = createLocalStore({ store: 'local', directory, bytesMax: 1_000_000 });
  const running: TestWorker[] = [];
  const reset = async (): Promise<void> => {
    await Promise.all(running.splice(0).map((worker) => worker.stop()));
    fake.world.faults.clear();
    await owner.query(sql`delete from private.whatsapp_versions`);
    await owner.query(sql`delete from private.whatsapp_refusals`);
    await owner.query(sql`delete from private.ingest_leases`);
    await owner.query(
      sql`update private.whatsapp_breaker set opened_at = null, probe_at = null, probe_version = null`,
    );
  };
  afterAll(async () => {
    await reset();
    await fake.stop();
    await Promise.all([owner.close(), database.close()]);
    await test.drop();
    await rm(directory, { recursive: true });
  });

  const worker: DeviceWorld['worker'] = (timing, url = fake.url) => {
    const metrics = createMetrics('test');
    const means = createDeviceMeans({
      database,
      box,
      media,
      log,
      metrics,
      clock: hasty,
      whatsapp: { url, newChatsPerDay: 20, sendIntervalMs: 0, bytesMax: 1_000_000 },
      ...(timing && { timing }),
    });
    const devices = new WhatsappWorker({ ...means, databaseUrl: ingestUrl });
    devices.start(() => undefined);
    const held = new Map<string, { stop(): Promise<void> }>();
    const lost: string[] = [];
    const made: TestWorker = {
      metrics,
      devices,
      lost,
      hold: async (deviceId) => {
        const lease = await takeLease(owner, deviceId);
        const { resource } = lease;
        const work = devices.kind.start(lease, () => {
          lost.push(resource);
          void work.stop();
        });
        held.set(resource, work);
        return lease;
      },
      stop: async () => {
        await Promise.all([...held.values()].map((work) => work.stop()));
        await devices.stop();
      },
    };
    running.push(made);
    return made;
  };

  const person = (): Person => {
    const phone = String(51_910_000_000 + numbers++);
    return fake.addPerson({ phone, lid: `9${phone}000`, name: `Phone ${phone}` });
  };

  const device: DeviceWorld['device'] = async (options = {}) => {
    const { isLinked = false, worker: given = worker() } = options;
    const by = given === 'none' ? undefined : given;
    const accountId =
      options.accountId ?? (await createAccount(owner, `devices-${numbers++}`)).accountId;
    await owner.query(sql`update public.accounts set max_devices = 100 where id = ${accountId}`);
    const [made] = await owner.query(sql`
      insert into public.devices (account_id, name) values (${accountId}, ${`Device ${numbers++}`}) returning id`);
    const deviceId = Number(made?.['id']);
    const who = options.person ?? person();
    const credentials = isLinked ? fake.makeCredentials(who) : undefined;
    if (credentials) {
      const sealed = createKeySealer(box, deviceId).sealCreds(credentials.creds);
      await owner.transaction((tx) => createWhatsappSession(tx, { accountId, deviceId }, sealed));
      await owner.query(sql`update public.devices set wanted = 'connected' where id = ${deviceId}`);
    }
    const ask = { accountId, devices: undefined };
    const found: TestDevice = {
      accountId,
      deviceId,
      get worker(): TestWorker {
        if (!by) throw new Error('it is with whoever has its lease');
        return by;
      },
      person: who,
      linked: credentials?.device,
      row: async () => mustRow(await owner.query(rowOf(deviceId))),
      pairing: async () =>
        (
          await owner.query(sql`
            select id, kind, code, phone, expires_at > now() as is_live
            from public.device_pairings where device_id = ${deviceId}`)
        )[0],
      becomes: (expected, says) =>
        eventually(
          async () => {
            const row = mustRow(await owner.query(rowOf(deviceId)));
            for (const [name, value] of Object.entries(expected))
              if (row[name] !== value) throw new Error(`${name} is ${JSON.stringify(row)}`);
            return row;
          },
          { timeoutMs: 30_000, says: says ?? `the device is ${JSON.stringify(expected)}` },
        ),
      wants: async (wanted) => {
        await owner.transaction((tx) => wantOfDevice(tx, { ...ask, id: deviceId, wanted }));
      },
      pair: async (how) => {
        await owner.transaction((tx) => pairDevice(tx, { ...ask, deviceId, ...how }));
      },
      shown: (not) =>
        eventually(
          async () => {
            const code = (await found.pairing())?.['code'];
            return code && code !== not ? code : undefined;
          },
          { timeoutMs: 30_000, says: 'a code is shown' },
        ),
      hasSession: async () => {
        const rows = await owner.query(
          sql`select device_id from private.whatsapp_sessions where device_id = ${deviceId}`,
        );
        return rows.length > 0;
      },
      lose: () => takeLease(owner, deviceId),
      logins: () =>
        [...who.devices.values()].reduce(
          (sum, each) => sum + fake.world.connections.countsOf(each).logins,
          0,
        ),
    };
    await by?.hold(deviceId);
    return found;
  };

  return { fake, owner, ingestUrl, worker, device, person, reset };
}

const rowOf = (deviceId: number) => sql`
  select status, status_code, status_reason, wanted, jid, phone, pushname, platform, last_seen_at,
    retry_at > now() as is_to_come, retry_at, status_since
  from public.devices where id = ${deviceId}`;

function mustRow([row]: TextRow[]): TextRow {
  if (!row) throw new Error('there is no such device');
  return row;
}

/** The one before, if any, has lost it by this. */
async function takeLease(owner: Database, deviceId: number): Promise<Lease> {
  const worker = randomUUID();
  const resource = `whatsapp:${deviceId}`;
  const [row] = await owner.query(sql`
    insert into private.ingest_leases as lease (resource, owner, fence) values (${resource}, ${worker}, 1)
    on conflict (resource) do update set owner = excluded.owner, fence = lease.fence + 1
    returning fence`);
  return { resource, owner: worker, fence: Number(row?.['fence']) };
}
