import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * Between a replicator and its Postgres. `freeze` makes the replication connections of now half open: both ends believe in
 * them and no byte passes any more, as when a firewall forgets a connection. Everything else goes on, new ones too.
 */
export async function startHalfOpenProxy(
  target: string,
): Promise<{ url: string; freeze(): void; stop(): Promise<void> }> {
  const { hostname, port } = new URL(target);
  const replicating = new Set<Socket>();
  const open = new Set<Socket>();
  const frozen = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    client.once('data', (startup: Buffer) => {
      if (startup.includes('replication\0')) replicating.add(client);
    });
    const passes = (): boolean => !frozen.has(client);
    const pipe = (from: Socket, to: Socket): void => {
      open.add(from);
      from.on('data', (chunk) => void (passes() && to.write(chunk)));
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        if (passes()) to.destroy();
      });
    };
    pipe(client, upstream);
    pipe(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  url.hostname = '127.0.0.1';
  return {
    url: url.href,
    freeze: () => {
      for (const socket of replicating) frozen.add(socket);
    },
    stop: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
