import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { deleteDevice } from '../../server/commands/delete-device.ts';
import { sendMessage } from '../../server/commands/send-message.ts';
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

  it('takes in what comes and sends what waits, and goes on after a socket has ended', async () => {
    const device = await world.device({ isLinked: true });
    const { accountId, deviceId, person } = device;
    await device.becomes({ status: 'connected' });
    const ana = world.person();
    const say = async (text: string): Promise<number> => {
      await world.fake.write({ from: ana, to: person }, text);
      return eventually(
        async () => {
          const [row] = await world.owner.query(sql`
            select chat_id from public.messages
            where account_id = ${accountId} and device_id = ${deviceId} and body = ${text} and not is_from_me`);
          return row && Number(row['chat_id']);
        },
        { timeoutMs: 30_000, says: `${text} is there` },
      );
    };
    const chatId = await say('first');
    const [member] = await world.owner.query(
      sql`select user_id from public.memberships where account_id = ${accountId} limit 1`,
    );
    const actorId = Number(member?.['user_id']);
    const answer = async (body: string): Promise<void> => {
      await world.owner.transaction((tx) =>
        sendMessage(tx, { accountId, devices: undefined, actorId, chatId, body }),
      );
      await eventually(
        async () => {
          const [row] = await world.owner.query(sql`
            select status from public.messages where account_id = ${accountId} and body = ${body}`);
          return ['sent', 'delivered', 'read'].includes(row?.['status'] ?? '');
        },
        { timeoutMs: 30_000, says: `${body} is sent` },
      );
    };
    await answer('second');
    world.fake.world.connections.find(device.linked!)!.reset();
    expect(await say('third')).toBe(chatId);
    await answer('fourth');
  });

  it('ends its socket when its worker stops, and leaves its status to whoever has it next', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    await device.worker.stop();
    expect(world.fake.world.connections.find(device.linked!)).toBeUndefined();
    expect(await device.row()).toMatchObject({ status: 'connected' });
  });

  it('is let go when it is deleted', async () => {
    const device = await world.device({ isLinked: true });
    const { accountId, deviceId } = device;
    await device.becomes({ status: 'connected' });
    await world.owner.transaction((tx) =>
      deleteDevice(tx, { accountId, devices: undefined, id: deviceId }),
    );
    await eventually(() => world.fake.world.connections.find(device.linked!) === undefined, {
      says: 'its socket has ended',
    });
  });
});
