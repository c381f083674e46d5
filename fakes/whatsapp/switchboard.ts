import { S_WHATSAPP_NET, type BinaryNode } from '@whiskeysockets/baileys';
import type { Connection, ConnectionEvents } from './connection.ts';
import { receiveAck, receiveReceipt } from './device-words.ts';
import { admit } from './login.ts';
import { receiveMessage } from './outgoing.ts';
import { dropCodes } from './pairing.ts';
import { answerQuery } from './queries.ts';
import type { World } from './world.ts';

/** What comes over a connection, by its kind, to who knows what to do with it. */
export function switchboard(world: World): ConnectionEvents {
  return {
    onFinished: (connection, finished) => admit(world, connection, finished),
    onNode: (connection, node) => {
      note(world, connection, { way: 'in', node });
      return connection.isSilent ? undefined : handle(world, connection, node);
    },
    onSent: (connection, node) => note(world, connection, { way: 'out', node }),
    onError: (_connection, error) => world.noteError(error),
    onClosed: (connection) => {
      world.connections.remove(connection);
      dropCodes(world, connection);
    },
    isSilentAtHandshake: () => world.faults.strike(['handshake-silence']) !== undefined,
  };
}

function note(
  world: World,
  connection: Connection,
  { way, node }: { way: 'in' | 'out'; node: BinaryNode },
): void {
  world.log.add(way, { connection: connection.number, device: connection.device?.jid }, node);
}

async function handle(world: World, connection: Connection, node: BinaryNode): Promise<void> {
  const { device } = connection;
  switch (node.tag) {
    case 'iq':
      return answerQuery(world, connection, node);
    case 'message':
      return receiveMessage(world, connection, node);
    case 'receipt':
      return receiveReceipt(world, connection, node);
    case 'ack':
      if (device) receiveAck(world, device, node);
      return;
    case 'call': {
      const { id = '', to = S_WHATSAPP_NET } = node.attrs;
      return connection.send({ tag: 'ack', attrs: { class: 'call', id, from: to } });
    }
    default:
      // Presence, typing, telemetry: in the log.
      return;
  }
}
