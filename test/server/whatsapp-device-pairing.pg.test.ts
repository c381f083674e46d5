import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { deleteDevice } from '../../server/commands/delete-device.ts';
import { eventually } from '../support/services.ts';
import { openDeviceWorld, type DeviceWorld } from './whatsapp-device-world.ts';

let world: DeviceWorld;

beforeAll(async () => {
  world = await openDeviceWorld();
});
afterEach(() => world.reset());

describe('a pairing', () => {
  it('by QR shows one after the other, and ends connected with the number that scanned it', async () => {
    const device = await world.device({ worker: world.worker({ qrTimeout: 300 }) });
    await device.becomes({ status: 'disconnected', status_code: null });
    await device.pair({ kind: 'qr' });
    const first = await device.shown();
    await device.becomes({ status: 'pairing', status_code: null });
    expect(await device.pairing()).toMatchObject({ kind: 'qr', is_live: 't' });
    const second = await device.shown(first);
    world.fake.scan(device.person, second);
    const row = await device.becomes({ status: 'connected', status_code: null });
    expect(row).toMatchObject({
      jid: `${device.person.phone}@s.whatsapp.net`,
      phone: device.person.phone,
      platform: 'android',
    });
    expect(await device.pairing()).toBeUndefined();
    expect(device.logins()).toBe(1);
  });

  it('brings how the account calls itself, as soon as WhatsApp says it', async () => {
    const device = await world.device();
    await device.pair({ kind: 'qr' });
    world.fake.scan(device.person, await device.shown());
    await device.becomes({ status: 'connected', pushname: null });
    await world.fake.writeOnPhone({ phone: device.person, to: world.person() }, 'by the phone');
    await device.becomes({ pushname: device.person.name });
  });

  it('that nobody uses expires, is over, and begins anew when somebody asks', async () => {
    const device = await world.device({ worker: world.worker({ qrTimeout: 60 }) });
    await device.pair({ kind: 'qr' });
    await device.becomes({ status: 'pairing' });
    await device.becomes({ status: 'disconnected', status_code: 'pairing_expired' });
    expect(await device.pairing()).toBeUndefined();
    expect(world.fake.world.connections.counts().open).toBe(0);
    await device.pair({ kind: 'qr' });
    world.fake.scan(device.person, await device.shown());
    await device.becomes({ status: 'connected', status_code: null });
  });

  it('that is given up ends at once, and the device is not paired', async () => {
    const device = await world.device();
    await device.pair({ kind: 'qr' });
    await device.shown();
    await world.owner.query(
      sql`delete from public.device_pairings where device_id = ${device.deviceId}`,
    );
    await device.becomes({ status: 'disconnected', status_code: 'not_paired' });
    expect(world.fake.world.connections.counts().open).toBe(0);
  });

  it('that is no longer wanted ends with what is wanted instead', async () => {
    const device = await world.device();
    await device.pair({ kind: 'qr' });
    await device.shown();
    await device.wants('disconnected');
    await device.becomes({ status: 'disconnected', status_code: null });
    expect(await device.pairing()).toBeUndefined();
    await eventually(() => world.fake.world.connections.counts().open === 0);
  });

  it('by code shows what to type on the phone, and takes the place of a QR', async () => {
    const device = await world.device();
    await device.pair({ kind: 'qr' });
    const qr = await device.shown();
    await device.pair({ kind: 'code', phone: device.person.phone });
    const code = await eventually(async () => {
      const pairing = await device.pairing();
      if (pairing?.['kind'] !== 'code' || pairing['code'] === qr) return undefined;
      return pairing['code'] ?? undefined;
    });
    expect(code).toMatch(/^[A-Z0-9]{8}$/);
    expect(await device.pairing()).toMatchObject({ is_live: 't', phone: device.person.phone });
    // Given up, the next attempt registers again, and does not log in with a number it never got.
    await device.pair({ kind: 'qr' });
    world.fake.scan(device.person, await device.shown(code ?? ''));
    await device.becomes({ status: 'connected', phone: device.person.phone });
  });

  it('by code ends connected once it is typed on the phone', async () => {
    const device = await world.device();
    await device.pair({ kind: 'code', phone: device.person.phone });
    await world.fake.typeCode(device.person, await device.shown());
    await device.becomes({ status: 'connected', phone: device.person.phone, platform: 'android' });
    expect(await device.pairing()).toBeUndefined();
    expect(device.logins()).toBe(1);
  });

  it('of a number that is another device of the account is refused, and the number is not linked', async () => {
    const first = await world.device({ isLinked: true });
    await first.becomes({ status: 'connected' });
    const second = await world.device({ accountId: first.accountId, person: first.person });
    await second.pair({ kind: 'qr' });
    world.fake.scan(first.person, await second.shown());
    await second.becomes({ status: 'disconnected', status_code: 'number_taken', jid: null });
    expect(await second.hasSession()).toBe(false);
    expect(await second.pairing()).toBeUndefined();
    expect(await first.row()).toMatchObject({ status: 'connected' });
    // Nobody has ever logged in as it.
    expect(first.logins()).toBe(1);
    // Nor is it when that one is logged out: its chats are of this number. Deleted, as the sentence says, it is free.
    await first.wants('logged_out');
    await first.becomes({ status: 'logged_out' });
    await second.pair({ kind: 'qr' });
    world.fake.scan(first.person, await second.shown());
    const { status_reason: says } = await second.becomes({ status_code: 'number_taken' });
    expect(says).toContain('delete it first');
    const { accountId, deviceId: id } = first;
    await world.owner.transaction((tx) => deleteDevice(tx, { accountId, id }));
    await second.pair({ kind: 'qr' });
    world.fake.scan(first.person, await second.shown());
    await second.becomes({ status: 'connected', phone: first.person.phone });
  });

  it('shows no code of a socket that has ended', async () => {
    const device = await world.device();
    await device.pair({ kind: 'qr' });
    const first = await device.shown();
    world.fake.world.faults.add({ does: { kind: 'upgrade-status', status: 503 } });
    for (const each of world.fake.world.connections.list()) each.reset();
    await device.becomes({ status: 'connecting', status_code: 'refused' });
    expect(await device.pairing()).toMatchObject({ code: null, is_live: 't' });
    world.fake.world.faults.clear();
    world.fake.scan(device.person, await device.shown(first));
    await device.becomes({ status: 'connected' });
  });

  it('of another number than the one whose chats the device has is refused', async () => {
    const device = await world.device();
    await world.owner.query(sql`
      update public.devices set jid = '51999@s.whatsapp.net', phone = '51999' where id = ${device.deviceId}`);
    const [contact] = await world.owner.query(
      sql`select id from public.contacts where account_id = ${device.accountId} limit 1`,
    );
    await world.owner.query(sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${device.accountId}, ${device.deviceId}, ${contact?.['id']}, '51911111111@s.whatsapp.net')`);
    await device.pair({ kind: 'qr' });
    world.fake.scan(device.person, await device.shown());
    await device.becomes({ status_code: 'other_number', jid: '51999@s.whatsapp.net' });
    expect(device.logins()).toBe(0);
    await world.owner.query(sql`delete from public.chats where device_id = ${device.deviceId}`);
    // Without any, it is just another number.
    await device.pair({ kind: 'qr' });
    world.fake.scan(device.person, await device.shown());
    await device.becomes({ status: 'connected', phone: device.person.phone });
  });
});

describe('a device that is to be logged out', () => {
  it('tells WhatsApp, and forgets its credentials', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    await device.wants('logged_out');
    await device.becomes({ status: 'logged_out', status_code: null });
    expect(device.linked?.isRemoved).toBe(true);
    expect(await device.hasSession()).toBe(false);
    await device.wants('connected');
    await device.becomes({ status: 'disconnected', status_code: 'not_paired' });
  });

  it('logs in to say so when it is not connected', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    await device.wants('disconnected');
    await device.becomes({ status: 'disconnected' });
    await device.wants('logged_out');
    await device.becomes({ status: 'logged_out', status_code: null });
    expect(device.linked?.isRemoved).toBe(true);
  });

  it('is forgotten here when WhatsApp cannot be told, and says so', async () => {
    const device = await world.device({ isLinked: true });
    world.fake.world.faults.add({ does: { kind: 'upgrade-status', status: 503 } });
    await device.becomes({ status: 'connecting', status_code: 'refused' });
    await device.wants('logged_out');
    await device.becomes({ status: 'logged_out', status_code: 'logout_unconfirmed' });
    expect(device.linked?.isRemoved).toBe(false);
    expect(await device.hasSession()).toBe(false);
  });

  it('was unlinked on the phone already: that is the same', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    await device.wants('disconnected');
    await device.becomes({ status: 'disconnected' });
    device.linked!.isRemoved = true;
    await device.wants('logged_out');
    await device.becomes({ status: 'logged_out', status_code: null });
  });
});

describe('an account that is not active', () => {
  it('has its devices disconnected, and connected again when it is', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    const set = (isActive: boolean) =>
      world.owner.query(
        sql`update public.accounts set is_active = ${isActive} where id = ${device.accountId}`,
      );
    await set(false);
    await device.becomes({ status: 'disconnected', status_code: 'account_inactive' });
    await set(true);
    await device.becomes({ status: 'connected', status_code: null });
  });
});
