import {
  getBinaryNodeChild,
  getBinaryNodeChildren,
  type BinaryNode,
  type proto,
} from '@whiskeysockets/baileys';
import { deviceOf, isGroup } from './addresses.ts';
import type { Connection } from './connection.ts';
import { deliver } from './delivery.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import { readEnc } from './ciphertext.ts';
import { receiveInGroup } from './group-outgoing.ts';
import { respond, askAgain } from './habits.ts';
import { answerOwnRequest } from './own-requests.ts';
import type { World } from './world.ts';

/**
 * A message that a device sends: acknowledged, and given to whom it is for, each his own ciphertext. An error in the
 * acknowledgement means that nobody gets it.
 */
export async function receiveMessage(
  world: World,
  connection: Connection,
  node: BinaryNode,
): Promise<void> {
  const { device } = connection;
  if (!device) return;
  const at = { device: device.jid };
  const refused = world.faults.strike(['ack-error'], at);
  if (refused) return acknowledge(connection, node, { error: String(refused.error) });
  const later = world.faults.strike(['ack-delay'], at);
  if (later) world.after(later.ms, () => acknowledge(connection, node));
  else if (!world.faults.strike(['ack-drop'], at)) acknowledge(connection, node);
  const { to = '' } = node.attrs;
  if (isGroup(to)) return receiveInGroup(world, device, node);
  const parts = getBinaryNodeChildren(getBinaryNodeChild(node, 'participants'), 'to');
  if (parts.length === 0) {
    // To one device only: again, after it asked, or about ourselves to our phone.
    return hand(world, device, {
      node,
      part: { tag: 'to', attrs: { jid: to }, content: node.content ?? [] },
    });
  }
  for (const part of parts) await hand(world, device, { node, part });
}

function acknowledge(connection: Connection, node: BinaryNode, more: Record<string, string> = {}) {
  const { id = '', to = '', participant } = node.attrs;
  connection.send({
    tag: 'ack',
    attrs: {
      class: 'message',
      id,
      from: to,
      t: String(Math.floor(Date.now() / 1_000)),
      ...(participant !== undefined && { participant }),
      ...more,
    },
  });
}

type Handed = { readonly node: BinaryNode; readonly part: BinaryNode };

async function hand(world: World, device: LinkedDevice, { node, part }: Handed): Promise<void> {
  const jid = part.attrs['jid'] ?? '';
  const enc = getBinaryNodeChild(part, 'enc');
  const person = world.personAt(jid);
  if (!person || !enc) return;
  const number = deviceOf(jid);
  if (number > 0) passOn(world, { device, node, enc, other: person.devices.get(number) });
  else await receiveOnPhone(world, device, { person, node, enc });
}

/** From a device to a device: both are linked here. It stays encrypted. */
function passOn(
  world: World,
  what: {
    device: LinkedDevice;
    node: BinaryNode;
    enc: BinaryNode;
    other: LinkedDevice | undefined;
  },
): void {
  const { device, node, enc, other } = what;
  if (!other || other.isRemoved) return;
  const { id = '', type = 'text', to = '', edit } = node.attrs;
  const attrs = {
    id,
    type,
    from: device.lidJid,
    addressing_mode: 'lid',
    t: String(Math.floor(Date.now() / 1_000)),
    notify: device.owner.name,
    ...(edit !== undefined && { edit }),
    ...(other.owner === device.owner ? { recipient: to } : { sender_pn: device.owner.phoneJid }),
  };
  const identity = getBinaryNodeChild(node, 'device-identity');
  const content = identity ? [enc, identity] : [enc];
  deliver(world, other, { node: { tag: 'message', attrs, content }, class: 'message' });
}

async function receiveOnPhone(
  world: World,
  device: LinkedDevice,
  { person, node, enc }: { person: Person; node: BinaryNode; enc: BinaryNode },
): Promise<void> {
  const { id = '', to = '', edit } = node.attrs;
  if (person.failures > 0 && person !== device.owner) {
    person.failures -= 1;
    return askAgain(world, device, { person, node });
  }
  let message: proto.IMessage;
  try {
    message = await person.signal.decrypt(device.signalJid, readEnc(enc));
  } catch (error) {
    world.noteError(new Error(`${person.phone} cannot read ${id}`, { cause: error }));
    return askAgain(world, device, { person, node });
  }
  const copy = message.deviceSentMessage;
  const content = copy?.message ?? message;
  const isNew = person.keep({
    id,
    from: device.jid,
    chat: copy?.destinationJid ?? to,
    isOwn: person === device.owner,
    message: content,
    edit,
  });
  if (!isNew) return;
  if (person === device.owner) await answerOwnRequest(world, device, { id, message: content });
  else respond(world, device, { person, id, chat: to, message });
}
