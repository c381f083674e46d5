import type { BinaryNode } from '@whiskeysockets/baileys';
import type { Connection } from './connection.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Rewrite, Stanza, StanzaClass } from './stanza-queue.ts';
import type { World } from './world.ts';

/** Into the queue of a device, and to the device, if it is there. */
export function deliver(
  world: World,
  device: LinkedDevice,
  what: { node: BinaryNode; class: StanzaClass; rewrite?: Rewrite },
): Stanza {
  const stanza = device.queue.add(what.node, what.class, what.rewrite);
  sendAgain(world, device, stanza);
  return stanza;
}

/** What is in the queue already. */
export function sendAgain(world: World, device: LinkedDevice, stanza: Stanza): void {
  const connection = world.connections.find(device);
  const node = device.queue.nodeOf(stanza);
  if (connection?.isActive === true && node) send(world, connection, { stanza, node });
}

/**
 * What a device that has just come gets: everything it has not said it has, in order, marked as late, and at the end the
 * marker with which Baileys stops to hold events back.
 */
export function replay(world: World, connection: Connection, device: LinkedDevice): void {
  const at = { device: device.jid };
  const waiting = device.queue.replay();
  if (world.faults.strike(['reorder'], at)) waiting.reverse();
  connection.isActive = true;
  for (const { stanza, node } of waiting) {
    const attrs = { ...node.attrs, offline: '0' };
    send(world, connection, { stanza, node: { ...node, attrs } });
  }
  if (world.faults.strike(['withhold-offline'], at)) return;
  tellReplayed(connection, waiting.length);
}

/** That everything late has been sent. */
function tellReplayed(connection: Connection, count: number): void {
  const content = [{ tag: 'offline', attrs: { count: String(count) } }];
  connection.send({ tag: 'ib', attrs: { from: 's.whatsapp.net' }, content });
}

function send(
  world: World,
  connection: Connection,
  { stanza, node }: { stanza: Stanza; node: BinaryNode },
): void {
  const device = connection.device;
  const times = world.faults.strike(['duplicate'], { device: device?.jid }) ? 2 : 1;
  for (let count = 0; count < times; count += 1) {
    device?.queue.noteSent(stanza);
    connection.send(node);
  }
}
