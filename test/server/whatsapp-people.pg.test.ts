import { beforeAll, describe, expect, it } from 'vitest';
import { MESSAGE_SIGNAL } from '../../domain/change.ts';
import { sql } from '../../platform/sql.ts';
import { signalHistory } from '../../server/commands/whatsapp-signal.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';
import { ANA, attrsOf, GROUP } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

async function withChat(): Promise<Receiving> {
  const device = await world.device();
  await device.decrypted(attrsOf('A'), { conversation: 'Hello' });
  await device.message('A');
  return device;
}

const contact = async (device: Receiving) => {
  const [row] = await device.all(sql`
    select contact.name, contact.push_name, device.name as book_name
    from public.contacts as contact
    left join public.contact_device_names as device on device.contact_id = contact.id
    where contact.account_id = ${device.accountId} and contact.jid = ${ANA.jid}`);
  return row;
};
const is = (device: Receiving, expected: object) =>
  eventually(async () => {
    const row = await contact(device);
    return Object.entries(expected).every(([name, value]) => row?.[name] === value);
  });

describe('people', () => {
  it('have the names of the address book and their own, and nobody becomes a contact by them', async () => {
    const device = await withChat();
    const { ev } = device.socket();
    const [before] = await device.all(
      sql`select count(*) as n from public.contacts where account_id = ${device.accountId}`,
    );
    ev.emit('contacts.upsert', [
      { id: ANA.lid, phoneNumber: ANA.jid, name: 'Ana (agenda)' },
      { id: '51912312312@s.whatsapp.net', name: 'Nobody here' },
    ]);
    await is(device, { name: 'Ana (agenda)', book_name: 'Ana (agenda)', push_name: 'Ana' });
    ev.emit('contacts.update', [{ id: ANA.jid, notify: 'Anita' }]);
    await is(device, { name: 'Ana (agenda)', push_name: 'Anita' });
    ev.emit('contacts.update', [
      { id: ANA.jid, verifiedName: 'Ana SAC' },
      { id: ANA.jid, name: 'Ana 2' },
    ]);
    await is(device, { name: 'Ana (agenda)', book_name: 'Ana 2', push_name: 'Ana SAC' });
    expect(
      await device.all(
        sql`select count(*) as n from public.contacts where account_id = ${device.accountId}`,
      ),
    ).toEqual([before]);
  });
});

describe('signals', () => {
  /** What is announced from now on, as browsers get it. */
  async function listen(device: Receiving): Promise<() => Promise<Record<string, unknown>[]>> {
    const slot = `signals_${device.accountId}_${process.pid}`;
    await device.all(sql`select pg_create_logical_replication_slot(${slot}, 'test_decoding')`);
    return async () => {
      const rows = await device.all(sql`
        select substring(data from 'content:(.*)$') as content
        from pg_logical_slot_peek_changes(${slot}, null, null)
        where data like ${`message: transactional: 1 prefix: ${MESSAGE_SIGNAL},%`}`);
      return rows.map((row) => JSON.parse(row['content'] ?? '{}') as Record<string, unknown>);
    };
  }

  it('say who is typing and who is online, the last of each, in chats that are there', async () => {
    const device = await withChat();
    const [chat] = await device.chats();
    const heard = await listen(device);
    const { ev } = device.socket();
    const presence = (id: string, state: string) =>
      ev.emit('presence.update', { id, presences: { [id]: { lastKnownPresence: state } } });
    presence(ANA.lid, 'available');
    for (let times = 0; times < 50; times += 1) presence(ANA.lid, 'composing');
    presence(ANA.lid, 'recording');
    presence('51912312312@s.whatsapp.net', 'composing');
    presence(GROUP, 'available');
    const common = {
      account_id: device.accountId,
      chat_id: Number(chat?.['id']),
      contact_id: Number(chat?.['contact_id']),
      device_id: device.deviceId,
      permission: 'chats',
    };
    await eventually(async () => (await heard()).length > 0, { says: 'it is announced' });
    const signals = await heard();
    expect(signals).toHaveLength(2);
    expect(signals).toContainEqual({ ...common, kind: 'presence', state: 'available' });
    expect(signals).toContainEqual({ ...common, kind: 'typing', state: 'recording' });
  });

  it('say how far history is read, to those who see devices', async () => {
    const device = await world.device();
    const heard = await listen(device);
    const { accountId, deviceId } = device;
    await world.owner.transaction((tx) => signalHistory(tx, { accountId, deviceId, progress: 40 }));
    expect(await heard()).toEqual([
      {
        account_id: accountId,
        kind: 'history',
        device_id: deviceId,
        progress: 40,
        permission: 'devices',
      },
    ]);
  });
});
