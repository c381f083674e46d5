import { createServer } from 'node:net';
import { ClarinError } from '../../domain/errors.ts';

/**
 * Whether somebody can listen there now. Host as for listen(): a name or an address.
 * @throws ClarinError `configuration` when nobody ever can: not an address of this machine, or not
 * our right.
 */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = WHY_NEVER[error.code ?? ''];
      if (why === undefined) resolve(false);
      else
        reject(new ClarinError('configuration', `Nothing can listen on ${host}:${port}: ${why}.`));
    });
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

const WHY_NEVER: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'that is no address of this machine, correct CLARIN_HOST',
  ENOTFOUND: 'there is no such name, correct CLARIN_HOST',
  EAI_AGAIN: 'there is no such name, correct CLARIN_HOST',
  EACCES: 'ports below 1024 belong to the system, choose a higher one',
};

/**
 * Below the range from which systems take ports for outgoing connections: a stopped service finds
 * its port free.
 */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const ATTEMPTS_MAX = 200;

/**
 * A port nobody listens on. Another process may take it before it is used: callers retry or fail in
 * words.
 */
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
