import { BufferJSON, proto } from '@whiskeysockets/baileys';
import type { LinkedDevice } from './linked-device.ts';
import type { Person, Received } from './person.ts';
import type { World } from './world.ts';

/** What is in the world, as JSON: for the admin interface. */
export function showPerson(person: Person) {
  const { phone, lid, name, addressing, isLidKnown, habits, failures, jid, phoneJid, lidJid } =
    person;
  const devices = person.linked().map(({ jid: of }) => of);
  const addresses = { jid, phoneJid, lidJid };
  return { phone, lid, name, addressing, isLidKnown, habits, failures, ...addresses, devices };
}

export function showDevice(world: World, device: LinkedDevice) {
  const { jid, lidJid, number, isRemoved, preKeys } = device;
  const connection = world.connections.find(device);
  return {
    jid,
    lidJid,
    number,
    phone: device.owner.phone,
    isRemoved,
    isConnected: connection !== undefined,
    isActive: connection?.isActive ?? false,
    ...world.connections.countsOf(device),
    preKeys,
    waiting: device.queue.waitingCount,
  };
}

export function showReceived({ message, ...received }: Received) {
  return { ...received, message: proto.Message.fromObject(message).toJSON() };
}

/** With bytes as Baileys' `BufferJSON` has them: its reviver makes credentials of it. */
export function showCredentials(creds: unknown): unknown {
  return JSON.parse(JSON.stringify(creds, BufferJSON.replacer.bind(BufferJSON)));
}
