import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { Connection } from './connection.ts';
import { switchboard } from './switchboard.ts';
import type { World } from './world.ts';

const STANZA_BYTES_MAX = 32 * 1024 * 1024;

export type WhatsAppServer = {
  readonly server: Server;
  /** Lets go of those that were left waiting for an answer. */
  hangUp(): void;
};

/** HTTP, and WebSockets for whoever asks for one, at any path. */
export function createWhatsAppServer(world: World): WhatsAppServer {
  const server = createServer((_request, response) => {
    response.writeHead(404).end();
  });
  const events = switchboard(world);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: STANZA_BYTES_MAX });
  const hanging = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    const refused = world.faults.strike(['upgrade-status', 'upgrade-silence']);
    if (refused?.kind === 'upgrade-status') {
      socket.end(`HTTP/1.1 ${refused.status} Refused\r\nConnection: close\r\n\r\n`);
      return;
    }
    if (refused) {
      hanging.add(socket);
      socket.once('close', () => hanging.delete(socket));
      socket.on('error', () => undefined);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      const number = world.connections.next;
      world.connections.add(new Connection(accepted, { number, root: world.root, events }));
    });
  });
  return {
    server,
    hangUp: () => {
      for (const socket of hanging) socket.destroy();
    },
  };
}
