import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { answerAdminRequest, type Parts } from './admin.ts';
import type { Certificate } from './certificate.ts';
import { Connection } from './connection.ts';
import { answerStorage } from './storage.ts';
import { switchboard } from './switchboard.ts';
import type { World } from './world.ts';

export type Servers = {
  /** WebSockets at any path, files, the admin interface. */
  readonly http: Server;
  /** Uploads and files: Baileys uploads over TLS only. */
  readonly https: Server;
  /** Lets go of those that were left waiting for an answer. */
  hangUp(): void;
};

const STANZA_BYTES_MAX = 32 * 1024 * 1024;
const BODY_BYTES_MAX = 100_000_000;

export function createServers(parts: Parts, tls: Certificate): Servers {
  const { world } = parts;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    answer(parts, { request, response }).catch((error: unknown) => {
      world.noteError(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  };
  const http = createServer(listener);
  const https = createTlsServer({ key: tls.key, cert: tls.certificate }, listener);
  const hanging = new Set<Duplex>();
  takeWebSockets(world, http, hanging);
  return {
    http,
    https,
    hangUp: () => {
      for (const socket of hanging) socket.destroy();
    },
  };
}

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse };

async function answer(parts: Parts, { request, response }: Exchange): Promise<void> {
  if (await answerStorage(parts.world, request, response)) return;
  const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://fake');
  if (!path.startsWith('/__admin')) {
    response.writeHead(404).end();
    return;
  }
  const body = await readJson(request);
  const method = request.method ?? 'GET';
  const answered =
    body === undefined
      ? { status: 400, body: { error: 'the body is no JSON, or too long' } }
      : await answerAdminRequest(parts, { method, path, query, body });
  response.writeHead(answered.status, { 'content-type': 'application/json' });
  response.end(answered.body === undefined ? undefined : JSON.stringify(answered.body));
}

/** {} without a body; undefined when it cannot be read. */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

function takeWebSockets(world: World, server: Server, hanging: Set<Duplex>): void {
  const events = switchboard(world);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: STANZA_BYTES_MAX });
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
}
