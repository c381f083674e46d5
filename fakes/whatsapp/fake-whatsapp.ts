import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createActs, type Acts } from './acts.ts';
import { makeCertificate } from './certificate.ts';
import { quietLibsignal } from './quiet.ts';
import { createServers } from './server.ts';
import { World, type WorldSettings } from './world.ts';

export type FakeWhatsAppOptions = Partial<WorldSettings> & {
  /** 0, the default: any that is free. */
  readonly port?: number;
  /** Of uploads, and of files over TLS; likewise. */
  readonly filesPort?: number;
};

/** A WhatsApp that is ours: it speaks as WhatsApp's servers do; who is there and what goes wrong is the caller's. */
export type FakeWhatsApp = Acts & {
  readonly port: number;
  /** For `waWebSocketUrl` of Baileys: `ws://127.0.0.1:…/ws/chat`. */
  readonly url: string;
  /** `http://127.0.0.1:…`: the admin interface is at `/__admin`. */
  readonly httpUrl: string;
  /** `https://127.0.0.1:…`: what `media_conn` names for uploads. */
  readonly filesUrl: string;
  /** A file with the certificate of `filesUrl`: a process that uploads is started with it in NODE_EXTRA_CA_CERTS. */
  readonly certificatePath: string;
  /** The certificate itself, PEM. */
  readonly certificate: string;
  readonly world: World;
  /** Nobody is there: connections are cut, new ones refused, and the world goes on. Again with `comeBack`. */
  goDown(): Promise<void>;
  /** At the same addresses. */
  comeBack(): Promise<void>;
  /** Breaks off whatever is under way, for good. */
  stop(): Promise<void>;
};

/** It is nothing to be seen from elsewhere: its admin interface asks nobody who he is. */
const HOST = '127.0.0.1';
const ANSWERED_AFTER_MS = 50;

/** Resolves when it listens. */
export async function startFakeWhatsApp(options: FakeWhatsAppOptions = {}): Promise<FakeWhatsApp> {
  quietLibsignal();
  const { port = 0, filesPort = 0, ...settings } = options;
  const world = new World(settings);
  const acts = createActs(world);
  const tls = makeCertificate('Fake WhatsApp');
  const directory = await mkdtemp(join(tmpdir(), 'clarin-fake-whatsapp-'));
  const certificatePath = join(directory, 'certificate.pem');
  await writeFile(certificatePath, tls.certificate);
  const goDownFor = (ms: number): void => {
    world.after(ANSWERED_AFTER_MS + ms, () => {
      comeBack().catch((error: unknown) => world.noteError(error));
    });
    // Not before whoever asked for it has been answered.
    world.after(ANSWERED_AFTER_MS, () => {
      goDown().catch((error: unknown) => world.noteError(error));
    });
  };
  const servers = createServers({ world, acts, goDownFor, certificatePath }, tls);
  const listening = {
    http: await listen(servers.http, port),
    https: await listen(servers.https, filesPort),
  };
  const [httpUrl, filesUrl] = [
    `http://${HOST}:${listening.http}`,
    `https://${HOST}:${listening.https}`,
  ] as const;
  world.places = { http: httpUrl, https: filesUrl };
  const goDown = async (): Promise<void> => {
    for (const connection of world.connections.list()) connection.reset();
    servers.hangUp();
    await Promise.all([close(servers.http), close(servers.https)]);
  };
  const comeBack = async (): Promise<void> => {
    await listen(servers.http, listening.http);
    await listen(servers.https, listening.https);
  };
  return {
    ...acts,
    port: listening.http,
    url: `ws://${HOST}:${listening.http}/ws/chat`,
    httpUrl,
    filesUrl,
    certificatePath,
    certificate: tls.certificate,
    world,
    goDown,
    comeBack,
    stop: async () => {
      world.end();
      await goDown();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: HOST }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
