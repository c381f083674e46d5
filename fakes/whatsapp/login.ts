import type { BinaryNode } from '@whiskeysockets/baileys';
import { phoneJid } from './addresses.ts';
import type { Connection } from './connection.ts';
import type { Fatal } from './faults.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Finished } from './noise.ts';
import { offerCodes } from './pairing.ts';
import type { World } from './world.ts';

const FATAL = ['failure', 'stream-error', 'downgrade', 'xmlstreamend', 'reset', 'silence'] as const;

/** After the handshake: a code to be scanned for who is new, a login for who says that it is a device. */
export function admit(world: World, connection: Connection, finished: Finished): void {
  const { payload, clientKey } = finished;
  const isNew = (payload.devicePairingData?.eIdent?.length ?? 0) > 0;
  const jid = isNew ? undefined : phoneJid(String(payload.username), payload.device ?? 0);
  const fault = world.faults.strike(FATAL, { device: jid, fits: ({ when }) => when === 'login' });
  if (fault) return breakOff(connection, fault);
  if (jid === undefined) return offerCodes(world, connection);
  const device = world.devices().find((each) => each.jid === jid);
  if (!device || device.isRemoved || !device.noiseKey.equals(clientKey)) {
    return connection.end({ tag: 'failure', attrs: { reason: '401', location: 'fake' } });
  }
  for (const other of world.connections.login(connection, device)) {
    breakOff(other, { kind: 'stream-error', conflict: 'replaced', when: 'open' });
  }
  connection.send({
    tag: 'success',
    attrs: {
      t: String(Math.floor(Date.now() / 1_000)),
      lid: device.lidJid,
      location: 'fake',
      companion_enc_static: '',
    },
  });
}

/** With `when: 'open'`: a device has come, and is sent away. True when it was. */
export function strikeOpened(world: World, connection: Connection, device: LinkedDevice): boolean {
  const at = { device: device.jid, fits: ({ when }: Fatal) => when === 'open' };
  const fault = world.faults.strike(FATAL, at);
  if (fault) breakOff(connection, fault);
  return fault !== undefined;
}

/** Logged out for good: told now, if it is there, and at every login. */
export function removeDevice(world: World, device: LinkedDevice): void {
  device.isRemoved = true;
  const connection = world.connections.find(device);
  const does = { code: 401, conflict: 'device_removed', when: 'open' } as const;
  if (connection) breakOff(connection, { kind: 'stream-error', ...does });
}

/** The ways in which a connection ends, or is as good as ended. */
export function breakOff(connection: Connection, fault: Fatal): void {
  switch (fault.kind) {
    case 'failure': {
      const reason = fault.reason === undefined ? {} : { reason: String(fault.reason) };
      return connection.end({ tag: 'failure', attrs: { ...reason } });
    }
    case 'stream-error':
      return connection.end(streamError(fault));
    case 'downgrade': {
      const content = [{ tag: 'downgrade_webclient', attrs: {} }];
      return connection.end({ tag: 'ib', attrs: {}, content });
    }
    case 'xmlstreamend':
      return connection.end({ tag: 'xmlstreamend', attrs: {} });
    case 'reset':
      return connection.reset();
    case 'silence':
      connection.isSilent = true;
      return;
    default:
      fault satisfies never;
  }
}

function streamError({ code, conflict }: Extract<Fatal, { kind: 'stream-error' }>): BinaryNode {
  const attrs = code === undefined ? {} : { code: String(code) };
  if (conflict)
    return {
      tag: 'stream:error',
      attrs,
      content: [{ tag: 'conflict', attrs: { type: conflict } }],
    };
  // One that no client knows, when there is no code either.
  const content = code === undefined ? [{ tag: 'ack', attrs: { id: 'fake' } }] : [];
  return { tag: 'stream:error', attrs, content };
}
