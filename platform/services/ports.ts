import { createServer } from 'node:net';

/** Whether somebody can listen there now. Host as for listen(): a name or an address. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Below the range from which systems take ports for outgoing connections: a stopped service finds its port free. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const ATTEMPTS_MAX = 200;

/** A port nobody listens on. Another process may take it before it is used: callers retry or fail in words. */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (await isPortFree(host, port)) return port;
  }
  throw new Error(`no free port on ${host} after ${ATTEMPTS_MAX} attempts`);
}

/** `preferred` while it is free, so that addresses stay the same from start to start. */
export async function choosePort(host: string, preferred: number): Promise<number> {
  return (await isPortFree(host, preferred)) ? preferred : findFreePort(host);
}
