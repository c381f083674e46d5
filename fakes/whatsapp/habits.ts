import { encodeBigEndian, type BinaryNode, type proto } from '@whiskeysockets/baileys';
import { deliver } from './delivery.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';

export type ReceiptType = 'delivered' | 'read' | 'played' | 'retry' | 'read-self' | 'sender';

/** Something that somebody got from a device. */
export type Arrived = {
  readonly person: Person;
  readonly id: string;
  readonly chat: string;
  readonly message: proto.IMessage;
};

/** What a phone and its owner do when something has arrived: it was delivered, it was read, it was listened to. */
export function respond(world: World, device: LinkedDevice, arrived: Arrived): void {
  const { person, id, chat, message } = arrived;
  world.onArrived?.(device, arrived);
  const { deliveredAfterMs, readAfterMs, playedAfterMs } = person.habits;
  const say = (afterMs: number | undefined, type: ReceiptType): void => {
    if (afterMs === undefined) return;
    world.after(afterMs, () => sendReceipt(world, device, { person, id, chat, type }));
  };
  say(deliveredAfterMs, 'delivered');
  say(readAfterMs, 'read');
  if (message.audioMessage ?? message.videoMessage) say(playedAfterMs, 'played');
}

export type ReceiptOf = {
  readonly person: Person;
  readonly id: string;
  /** As the device addressed it: by phone, by LID, a group. */
  readonly chat: string;
  readonly type: ReceiptType;
  readonly content?: BinaryNode[];
};

/** Somebody's word to a device about a message of its. */
export function sendReceipt(world: World, device: LinkedDevice, receipt: ReceiptOf): void {
  const { person, id, chat, type, content } = receipt;
  const inGroup = chat.endsWith('@g.us');
  const attrs = {
    id,
    from: chat,
    ...(inGroup && { participant: person.jid }),
    t: String(Math.floor(Date.now() / 1_000)),
    ...(type !== 'delivered' && { type }),
  };
  const node = { tag: 'receipt', attrs, ...(content && { content }) };
  deliver(world, device, { node, class: 'receipt' });
}

/** A phone that cannot read a message asks for it again; the device encrypts it anew. */
export function askAgain(
  world: World,
  device: LinkedDevice,
  { person, node }: { person: Person; node: BinaryNode },
): void {
  const { id = '', to = '', t } = node.attrs;
  const retry = { count: '1', id, t: t ?? String(Math.floor(Date.now() / 1_000)), v: '1' };
  const content: BinaryNode[] = [
    { tag: 'retry', attrs: retry },
    { tag: 'registration', attrs: {}, content: encodeBigEndian(person.signal.registrationId) },
  ];
  sendReceipt(world, device, { person, id, chat: to, type: 'retry', content });
}
