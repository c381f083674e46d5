import { randomBytes } from 'node:crypto';
import type { BinaryNode, proto } from '@whiskeysockets/baileys';
import { deliver } from './delivery.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Addressing, Person } from './person.ts';
import type { Encrypted } from './signal-party.ts';
import type { Rewrite } from './stanza-queue.ts';
import { editOf, typeOf } from './stanza-kind.ts';
import type { World } from './world.ts';

export type WriteOptions = {
  /** Default one as WhatsApp's. */
  readonly id?: string | undefined;
  /** Unix seconds; default now. */
  readonly atSeconds?: number | undefined;
  /** Default the writer's own. */
  readonly addressing?: Addressing | undefined;
  /**
   * `damaged`: what is encrypted does not fit, the first time; the device asks for it again. `absent`: there is nothing in
   * the stanza, as when WhatsApp leaves it to the phone.
   */
  readonly spoil?: 'damaged' | 'absent' | undefined;
};

export type Written = { readonly id: string };

/**
 * Somebody writes to an account: each of its linked devices gets it, encrypted for it alone. Resolves when it is in their
 * queues, and with those that are there on the wire.
 */
export async function writeTo(
  world: World,
  who: { from: Person; to: Person },
  content: proto.IMessage,
  options: WriteOptions = {},
): Promise<Written> {
  const id = options.id ?? newMessageId();
  world.noteWritten(id, { from: who.from, content });
  const attrs: Attrs = {
    ...addressAttrs(who.from, options.addressing ?? who.from.addressing),
    ...messageAttrs(content, id, options),
    notify: who.from.name,
  };
  const { spoil } = options;
  await toDevices(world, who.to.linked(), { writer: who.from, content, attrs, spoil });
  return { id };
}

/**
 * Somebody writes with his own phone: the devices that are linked with it get a copy that says to whom. The other one is not
 * told here.
 */
export async function writeOnPhone(
  world: World,
  who: { phone: Person; to: Person },
  content: proto.IMessage,
  options: WriteOptions = {},
): Promise<Written> {
  const { phone, to } = who;
  const id = options.id ?? newMessageId();
  world.noteWritten(id, { from: phone, content });
  const addressing = options.addressing ?? to.addressing;
  const isByLid = addressing.startsWith('lid');
  const destinationJid = isByLid ? to.lidJid : to.phoneJid;
  const attrs: Attrs = {
    from: isByLid ? phone.lidJid : phone.phoneJid,
    recipient: destinationJid,
    ...(addressing === 'lid' && { peer_recipient_pn: to.phoneJid }),
    ...(addressing === 'pn' && { peer_recipient_lid: to.lidJid }),
    addressing_mode: isByLid ? 'lid' : 'pn',
    ...messageAttrs(content, id, options),
    notify: phone.name,
  };
  const copy = { deviceSentMessage: { destinationJid, message: content } };
  await toDevices(world, phone.linked(), { writer: phone, content: copy, attrs });
  return { id };
}

/** From the phone to one of its devices, about themselves: history, keys, answers to requests. */
export async function writeToOwnDevice(
  world: World,
  device: LinkedDevice,
  content: proto.IMessage,
  options: WriteOptions = {},
): Promise<Written> {
  const id = options.id ?? newMessageId();
  const attrs: Attrs = {
    from: device.owner.phoneJid,
    category: 'peer',
    ...messageAttrs(content, id, options),
  };
  await toDevices(world, [device], { writer: device.owner, content, attrs });
  return { id };
}

export type Attrs = Record<string, string>;

async function toDevices(
  world: World,
  devices: readonly LinkedDevice[],
  what: { writer: Person; content: proto.IMessage; attrs: Attrs; spoil?: WriteOptions['spoil'] },
): Promise<void> {
  const { writer, content, attrs, spoil } = what;
  await Promise.all(
    devices.map((device) =>
      device.inOrder(async () => {
        if (spoil === 'absent') {
          const node = { tag: 'message', attrs, content: [{ tag: 'unavailable', attrs: {} }] };
          deliver(world, device, { node, class: 'message' });
          return;
        }
        const encrypted = await encryptFor(writer, device, content);
        const given = spoil === 'damaged' ? damage(encrypted) : encrypted;
        const node = { tag: 'message', attrs, content: [encNode(given)] };
        const rewrite = rewriting({ writer, device, content, attrs });
        deliver(world, device, { node, class: 'message', rewrite });
      }),
    ),
  );
}

/** One bit of what is behind its keys is another one: the MAC does not fit. */
function damage({ type, ciphertext }: Encrypted): Encrypted {
  const bytes = Buffer.from(ciphertext);
  const at = Math.floor(bytes.length * 0.75);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  return { type, ciphertext: bytes };
}

export function encryptFor(
  writer: Person,
  device: LinkedDevice,
  content: proto.IMessage,
): Promise<Encrypted> {
  return writer.signal.encrypt(device.signalJid, () => device.takeBundle(), content);
}

/** For a device that cannot read it: with a new session, by the keys that it sent with its request, if it did. */
export function rewriting(what: {
  writer: Person;
  device: LinkedDevice;
  content: proto.IMessage;
  attrs: Attrs;
}): Rewrite {
  const { writer, device, content, attrs } = what;
  return async ({ count, bundle }) => {
    await writer.signal.forget(device.signalJid);
    const encrypted = await writer.signal.encrypt(
      device.signalJid,
      () => bundle ?? device.takeBundle(),
      content,
    );
    return { tag: 'message', attrs, content: [encNode(encrypted, { count: String(count) })] };
  };
}

export function encNode({ type, ciphertext }: Encrypted, attrs: Attrs = {}): BinaryNode {
  return { tag: 'enc', attrs: { v: '2', type, ...attrs }, content: ciphertext };
}

export function messageAttrs(content: proto.IMessage, id: string, options: WriteOptions): Attrs {
  const edit = editOf(content);
  return {
    id,
    t: String(options.atSeconds ?? Math.floor(Date.now() / 1_000)),
    type: typeOf(content),
    ...(edit !== undefined && { edit }),
  };
}

/** By whom, and what the server says about his other address. */
export function addressAttrs(person: Person, addressing: Addressing): Attrs {
  const isByLid = addressing.startsWith('lid');
  return {
    from: isByLid ? person.lidJid : person.phoneJid,
    addressing_mode: isByLid ? 'lid' : 'pn',
    ...(addressing === 'lid' && { sender_pn: person.phoneJid }),
    ...(addressing === 'pn' && { sender_lid: person.lidJid }),
  };
}

export function newMessageId(): string {
  return `3EB0${randomBytes(9).toString('hex').toUpperCase()}`;
}
