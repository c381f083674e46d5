import { randomBytes } from 'node:crypto';
import { S_WHATSAPP_NET, type BinaryNode } from '@whiskeysockets/baileys';
import type { Connection } from './connection.ts';
import { addDevice, bundleOfRegistration, tellLinked } from './link.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';
import { mustFind, WorldError } from './world-error.ts';

const REFERENCES = 6;

/** The codes of a client that wants to be linked: it shows one after the other, the first for a minute, then 20 seconds each. */
export function offerCodes(world: World, connection: Connection): void {
  const references = Array.from({ length: REFERENCES }, () => randomBytes(12).toString('base64'));
  for (const reference of references) world.references.set(reference, connection);
  const content: BinaryNode[] = references.map((reference) => ({
    tag: 'ref',
    attrs: {},
    content: Buffer.from(reference),
  }));
  connection.send({
    tag: 'iq',
    attrs: { from: S_WHATSAPP_NET, type: 'set', id: world.nextId(), xmlns: 'md' },
    content: [{ tag: 'pair-device', attrs: {}, content }],
  });
}

/** Its codes are worth nothing any more. */
export function dropCodes(world: World, connection: Connection): void {
  for (const [reference, shownBy] of world.references) {
    if (shownBy === connection) world.references.delete(reference);
  }
  for (const [phone, request] of world.codeRequests) {
    if (request.connection === connection) world.codeRequests.delete(phone);
  }
}

/**
 * What the camera of a phone does with a code. The device is linked when the client has answered, and comes again by itself.
 * @throws WorldError when nobody shows it any more.
 */
export function scan(world: World, person: Person, qr: string): LinkedDevice {
  const [reference = '', , identity = '', secret = ''] = (qr.split('#').at(-1) ?? '').split(',');
  const connection = mustFind(world.references.get(reference), 'connection with this code');
  const { clientKey } = connection;
  if (!connection.isOpen || !clientKey) throw new WorldError('the code is not shown any more');
  const bundle = bundleOfRegistration(connection.payload);
  const device = addDevice(person, { noiseKey: clientKey, bundle });
  dropCodes(world, connection);
  tellLinked(world, connection, {
    device,
    identity: Buffer.from(identity, 'base64'),
    advSecret: Buffer.from(secret, 'base64'),
  });
  return device;
}
