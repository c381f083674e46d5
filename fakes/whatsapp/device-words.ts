import {
  extractE2ESessionFromRetryReceipt,
  getBinaryNodeChild,
  getBinaryNodeChildren,
  type BinaryNode,
} from '@whiskeysockets/baileys';
import type { Connection } from './connection.ts';
import { sendAgain } from './delivery.ts';
import { answerMediaRetry } from './media-retry.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { StanzaClass } from './stanza-queue.ts';
import type { World } from './world.ts';

const CLASSES: readonly string[] = ['message', 'receipt', 'notification', 'call'];

/** `<ack>`: a device knows of a stanza, or refuses it, with an error. */
export function receiveAck(world: World, device: LinkedDevice, node: BinaryNode): void {
  const { id = '', class: stanzaClass = '', type, error } = node.attrs;
  if (!CLASSES.includes(stanzaClass)) return;
  const { again } = device.queue.settle(
    { class: stanzaClass as StanzaClass, id, type },
    { by: error === undefined ? 'ack' : 'nack', detail: error, atMs: Date.now() },
  );
  if (again) sendAgain(world, device, again);
}

/** `<receipt>`: a device has messages, or has read them, or cannot read one and wants it again. */
export function receiveReceipt(world: World, connection: Connection, node: BinaryNode): void {
  const { device } = connection;
  if (!device) return;
  const { id = '', to = '', type } = node.attrs;
  const more = getBinaryNodeChildren(getBinaryNodeChild(node, 'list'), 'item');
  const ids = [id, ...more.map(({ attrs }) => attrs['id'] ?? '')];
  const atMs = Date.now();
  for (const each of ids) device.noteReceipt({ id: each, to, type: type ?? 'delivered', atMs });
  const attrs = { class: 'receipt', id, from: to, ...(type !== undefined && { type }) };
  connection.send({ tag: 'ack', attrs });
  if (type === 'retry') return askedAgain(world, device, node);
  if (type === 'server-error') return answerMediaRetry(world, device, node);
  for (const each of ids) {
    const which = { class: 'message', id: each } as const;
    device.queue.settle(which, { by: 'receipt', detail: type, atMs });
  }
}

function askedAgain(world: World, device: LinkedDevice, node: BinaryNode): void {
  const asked = device.queue.askAgain(node.attrs['id'] ?? '');
  if (!asked) return;
  const count = Number(getBinaryNodeChild(node, 'retry')?.attrs['count'] ?? 1);
  const bundle = bundleOf(node);
  device
    .inOrder(async () => {
      const rewritten = await asked.rewrite({ count, bundle });
      if (device.queue.replace(asked.stanza, rewritten)) sendAgain(world, device, asked.stanza);
    })
    .catch((error: unknown) => world.noteError(error));
}

function bundleOf(node: BinaryNode) {
  const found = extractE2ESessionFromRetryReceipt(node);
  if (!found) return undefined;
  const { preKey, ...keys } = found;
  return preKey ? { ...keys, preKey } : keys;
}
