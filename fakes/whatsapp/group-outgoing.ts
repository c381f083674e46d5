import {
  getBinaryNodeChild,
  getBinaryNodeChildren,
  type BinaryNode,
  type proto,
} from '@whiskeysockets/baileys';
import { deviceOf } from './addresses.ts';
import { readEnc } from './ciphertext.ts';
import { deliver } from './delivery.ts';
import type { Group } from './groups.ts';
import { askAgain, respond } from './habits.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';

/**
 * A device writes in a group: `participants` bring its key to those that do not have it, one ciphertext is for all. To somebody
 * who asked for it again it comes alone, with `participant`.
 */
export async function receiveInGroup(
  world: World,
  device: LinkedDevice,
  node: BinaryNode,
): Promise<void> {
  const group = world.groups.get(node.attrs['to'] ?? '');
  if (!group?.members.includes(device.owner)) return;
  const enc = getBinaryNodeChild(node, 'enc');
  if (!enc) return;
  const { participant } = node.attrs;
  if (participant !== undefined) {
    const person = world.personAt(participant);
    if (person) await receiveAlone(world, device, { person, node, enc });
    return;
  }
  const parts = getBinaryNodeChildren(getBinaryNodeChild(node, 'participants'), 'to');
  const keys = new Map(
    parts.map((part) => [part.attrs['jid'] ?? '', getBinaryNodeChild(part, 'enc')]),
  );
  for (const [jid, key] of keys) {
    const person = world.personAt(jid);
    if (!person || !key || deviceOf(jid) > 0) continue;
    await learnKey(world, device, { person, key });
  }
  for (const member of group.members) {
    await receive(world, device, { person: member, group, node, enc });
    passOn(world, device, { member, group, node, enc, keys });
  }
}

async function learnKey(
  world: World,
  device: LinkedDevice,
  { person, key }: { person: Person; key: BinaryNode },
): Promise<void> {
  try {
    const content = await person.signal.decrypt(device.signalJid, readEnc(key));
    await person.signal.learnSenderKey(device.signalJid, content);
  } catch (error) {
    world.noteError(new Error(`${person.phone} cannot read the key`, { cause: error }));
  }
}

type In = { person: Person; group: Group; node: BinaryNode; enc: BinaryNode };

async function receive(
  world: World,
  device: LinkedDevice,
  { person, group, node, enc }: In,
): Promise<void> {
  if (person.failures > 0 && person !== device.owner) {
    person.failures -= 1;
    return askAgain(world, device, { person, node });
  }
  const { ciphertext } = readEnc(enc);
  try {
    const { signal } = person;
    keep(world, device, {
      person,
      node,
      message: await signal.decryptFromGroup(group.jid, device.signalJid, ciphertext),
    });
  } catch (error) {
    if (person === device.owner) return;
    world.noteError(new Error(`${person.phone} has no key of the group`, { cause: error }));
    askAgain(world, device, { person, node });
  }
}

async function receiveAlone(
  world: World,
  device: LinkedDevice,
  { person, node, enc }: { person: Person; node: BinaryNode; enc: BinaryNode },
): Promise<void> {
  const message = await person.signal.decrypt(device.signalJid, readEnc(enc));
  await person.signal.learnSenderKey(device.signalJid, message);
  keep(world, device, { person, node, message });
}

function keep(
  world: World,
  device: LinkedDevice,
  { person, node, message }: { person: Person; node: BinaryNode; message: proto.IMessage },
): void {
  const { id = '', to: chat = '', edit } = node.attrs;
  const isOwn = person === device.owner;
  const isNew = person.keep({ id, from: device.jid, chat, isOwn, message, edit });
  if (isNew && !isOwn) respond(world, device, { person, id, chat, message });
}

type Passed = {
  member: Person;
  group: Group;
  node: BinaryNode;
  enc: BinaryNode;
  keys: ReadonlyMap<string, BinaryNode | undefined>;
};

/** To other devices that are linked here: still encrypted. */
function passOn(world: World, device: LinkedDevice, passed: Passed): void {
  const { member, group, node, enc, keys } = passed;
  const { id = '', type = 'text' } = node.attrs;
  const attrs = {
    id,
    type,
    from: group.jid,
    participant: group.isByLid ? device.lidJid : device.jid,
    ...(group.isByLid && { participant_pn: device.owner.phoneJid }),
    addressing_mode: group.isByLid ? 'lid' : 'pn',
    t: String(Math.floor(Date.now() / 1_000)),
    notify: device.owner.name,
  };
  for (const other of member.linked()) {
    if (other === device) continue;
    const key = keys.get(other.lidJid) ?? keys.get(other.jid);
    const content = key ? [key, enc] : [enc];
    deliver(world, other, { node: { tag: 'message', attrs, content }, class: 'message' });
  }
}
