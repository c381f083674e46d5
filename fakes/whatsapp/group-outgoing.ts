import type { BinaryNode } from '@whiskeysockets/baileys';
import type { LinkedDevice } from './linked-device.ts';
import type { World } from './world.ts';

export function receiveInGroup(
  _world: World,
  _device: LinkedDevice,
  _node: BinaryNode,
): Promise<void> {
  return Promise.resolve();
}
