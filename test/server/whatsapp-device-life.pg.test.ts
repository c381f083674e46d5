import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import { openDeviceWorld, type DeviceWorld } from './whatsapp-device-world.ts';

let world: DeviceWorld;

beforeAll(async () => {
  world = await openDeviceWorld();
});
afterEach(() => world.reset());

describe('a device that is linked', () => {
  it('connects, says so, and is seen by its frames', async () => {
    const device = await world.device({ isLinked: true });
    const row = await device.becomes({ status: 'connected', status_code: null });
    expect(row).toMatchObject({
      jid: `${device.person.phone}@s.whatsapp.net`,
      phone: device.person.phone,
      platform: 'android',
      status_reason: null,
      retry_at: null,
    });
    expect(row['last_seen_at']).not.toBeNull();
    await eventually(async () => {
      const [pulse] = await world.owner.query(sql`
        select frame_at > now() - interval '30 seconds' as is_fresh from private.whatsapp_pulses
        where device_id = ${device.deviceId}`);
      return pulse?.['is_fresh'] === 't';
    });
  });

  it('is disconnected when that is wanted, and stays linked', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    await device.wants('disconnected');
    await device.becomes({ status: 'disconnected', status_code: null });
    expect(world.fake.world.connections.find(device.linked!)).toBeUndefined();
    await device.wants('connected');
    await device.becomes({ status: 'connected' });
    expect(device.logins()).toBe(2);
  });
});
