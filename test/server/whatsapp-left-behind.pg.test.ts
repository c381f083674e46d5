import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { wantedDevices } from '../../server/ingest/whatsapp/connections.ts';
import { eventually } from '../support/services.ts';
import { openDeviceWorld, type DeviceWorld, type TestDevice } from './whatsapp-device-world.ts';

let world: DeviceWorld;

beforeAll(async () => {
  world = await openDeviceWorld();
});
afterEach(() => world.reset());

const COUNT = 5;

async function countOf(device: TestDevice, of: 'inbox' | 'messages'): Promise<number> {
  const from = of === 'inbox' ? sql`private.whatsapp_inbox` : sql`public.messages`;
  const [row] = await world.owner.query(sql`
    select count(*) as count from ${from} where device_id = ${device.deviceId}`);
  return Number(row?.['count']);
}

async function isWanted({ deviceId }: TestDevice): Promise<boolean> {
  const rows = await world.owner.query(sql`
    select from (${wantedDevices}) as wanted (resource) where wanted.resource = ${`whatsapp:${deviceId}`}`);
  return rows.length > 0;
}

/** Some messages are receipted and in the inbox, and `work` is done while none of them can be written. */
async function whileNothingIsWritten(device: TestDevice, work: () => Promise<void>): Promise<void> {
  await device.becomes({ status: 'connected' });
  await world.owner.transaction(async (tx) => {
    await tx.query(sql`lock table public.messages in exclusive mode`);
    const ana = world.person();
    for (let n = 0; n < COUNT; n++)
      await world.fake.write({ from: ana, to: device.person }, `left ${n}`);
    await eventually(
      async () => {
        const settled = device.linked?.queue.list().filter((one) => one.settled?.by === 'receipt');
        return settled?.length === COUNT && (await countOf(device, 'inbox')) === COUNT;
      },
      { timeoutMs: 30_000, says: 'all are receipted' },
    );
    await work();
  });
}

async function untilWritten(device: TestDevice): Promise<void> {
  await eventually(async () => (await countOf(device, 'messages')) === COUNT, {
    timeoutMs: 30_000,
    says: 'what was receipted is there',
  });
  await eventually(async () => (await countOf(device, 'inbox')) === 0, {
    timeoutMs: 30_000,
    says: 'the inbox is empty',
  });
}

describe('what is in the inbox of a device that nobody connects any more', () => {
  it('is written by whoever gets it next, and somebody does', async () => {
    const device = await world.device({ isLinked: true });
    await whileNothingIsWritten(device, () => device.worker.stop());
    await device.wants('disconnected');
    await world.owner.query(sql`
      update public.devices set status = 'disconnected' where id = ${device.deviceId}`);
    expect(await isWanted(device)).toBe(true);
    await world.worker().hold(device.deviceId);
    await untilWritten(device);
    expect(await isWanted(device)).toBe(false);
    expect(device.logins()).toBe(1);
  });

  it('is written before its session goes, also when its worker does first', async () => {
    const device = await world.device({ isLinked: true });
    await whileNothingIsWritten(device, async () => {
      world.fake.removeDevice(device.linked!);
      await eventually(
        async () => (await device.worker.metrics.whatsappCloses.get()).values.length > 0,
        { timeoutMs: 30_000, says: 'the device was removed' },
      );
      await device.worker.stop();
    });
    await world.worker().hold(device.deviceId);
    await untilWritten(device);
    await device.becomes({ status: 'logged_out', status_code: 'logged_out_by_phone' });
    expect(await device.hasSession()).toBe(false);
    expect(await isWanted(device)).toBe(false);
  });
});
