import { afterEach, beforeAll, expect, it, onTestFinished } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createDatabase } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import { Leases, type LeaseTiming } from '../../server/ingest/leases.ts';
import { eventually } from '../support/services.ts';
import { openDeviceWorld, type DeviceWorld, type TestDevice } from './whatsapp-device-world.ts';

/** Far from each other, so that a busy machine does not turn their order around. */
const TIMING: LeaseTiming = { beatMs: 100, ttlMs: 6_000, stopAfterMs: 2_000 };
const log = createLog({ component: 'whatsapp', level: process.env['TEST_LOG'] ?? 'silent' });

let world: DeviceWorld;

beforeAll(async () => {
  world = await openDeviceWorld();
});
afterEach(() => world.reset());

/** A process as far as it shares devices. `cut`: it no longer reaches the database that shares them. */
function startProcess() {
  const worker = world.worker();
  const database = createDatabase({
    url: world.ingestUrl,
    applicationName: 'test device leases',
    max: 2,
    statementTimeoutMs: 1_000,
    log,
  });
  let isCut = false;
  const gone = (): Promise<never> => Promise.reject(new Error('not reached'));
  const leases = new Leases(
    {
      log,
      clock: systemClock,
      timing: TIMING,
      database: {
        ...database,
        query: (statement, options) => (isCut ? gone() : database.query(statement, options)),
        transaction: (work, options) => (isCut ? gone() : database.transaction(work, options)),
      },
    },
    [worker.devices.kind],
  ).start();
  onTestFinished(async () => {
    await leases.stop();
    await database.close();
  });
  return {
    leases,
    held: () => leases.holds('whatsapp').length,
    cut: () => void (isCut = true),
  };
}

const doubles = (devices: readonly TestDevice[]): number =>
  devices.reduce(
    (sum, { linked }) => sum + (linked ? world.fake.world.connections.countsOf(linked).doubles : 0),
    0,
  );

it('devices are shared by two processes, go over when one is stopped or cut off, and none is ever connected twice', async () => {
  const devices = await Promise.all(
    [1, 2, 3, 4].map(() => world.device({ isLinked: true, worker: 'none' })),
  );
  const allConnected = async (logins: number): Promise<void> => {
    await eventually(
      async () => {
        const rows = await Promise.all(devices.map((device) => device.row()));
        const open = devices.filter(
          ({ linked }) => linked && world.fake.world.connections.find(linked),
        );
        const sum = devices.reduce((all, device) => all + device.logins(), 0);
        return (
          rows.every((row) => row['status'] === 'connected') && open.length === 4 && sum >= logins
        );
      },
      { timeoutMs: 40_000, says: `all are connected, after ${logins} logins` },
    );
  };
  const one = startProcess();
  await allConnected(4);
  expect(one.held()).toBe(4);

  const two = startProcess();
  await eventually(() => one.held() === 2 && two.held() === 2, { timeoutMs: 40_000 });
  await allConnected(6);

  // Not heard of: it ends its sockets by itself, before the other opens its own.
  one.cut();
  await eventually(() => one.held() === 0, { timeoutMs: 40_000 });
  expect(two.held()).toBe(2);
  await eventually(() => two.held() === 4, { timeoutMs: 40_000 });
  await allConnected(8);

  const three = startProcess();
  await two.leases.stop();
  await eventually(() => three.held() === 4, { timeoutMs: 40_000 });
  await allConnected(12);
  expect(doubles(devices)).toBe(0);
  expect(world.fake.world.connections.counts().open).toBe(4);
});

it('a device that nobody has any more and is no longer wanted is disconnected by whoever comes', async () => {
  const device = await world.device({ isLinked: true, worker: 'none' });
  await world.owner.query(sql`
    update public.devices set status = 'connected', wanted = 'disconnected' where id = ${device.deviceId}`);
  const process = startProcess();
  await device.becomes({ status: 'disconnected', status_code: null });
  await eventually(async () => {
    const leases = await world.owner.query(sql`
      select resource from private.ingest_leases where resource = ${`whatsapp:${device.deviceId}`}`);
    return leases.length === 0;
  });
  const held = (): string[] => process.leases.holds('whatsapp').map(({ resource }) => resource);
  await eventually(() => !held().includes(`whatsapp:${device.deviceId}`));
  expect(device.logins()).toBe(0);
  // Given up, nobody is at it either; asked anew, somebody is.
  await world.owner.query(sql`
    update public.devices set wanted = 'connected', status_code = 'conflict' where id = ${device.deviceId}`);
  await device.wants('connected');
  await device.becomes({ status: 'connected', status_code: null });
});
