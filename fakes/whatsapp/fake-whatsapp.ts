import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { proto } from '@whiskeysockets/baileys';
import { makeCredentials } from './link.ts';
import type { LinkedDevice } from './linked-device.ts';
import { breakOff, removeDevice, type FatalInput } from './login.ts';
import { scan } from './pairing.ts';
import type { Person, PersonInput } from './person.ts';
import { quietLibsignal } from './quiet.ts';
import { createWhatsAppServer } from './server.ts';
import { mustFind } from './world-error.ts';
import { World, type WorldSettings } from './world.ts';
import { writeOnPhone, writeTo, type WriteOptions, type Written } from './write.ts';

export type FakeWhatsAppOptions = Partial<WorldSettings> & {
  /** 0, the default: any that is free. */
  readonly port?: number;
  /** Default 127.0.0.1: it is nothing to be seen from elsewhere, its admin interface asks nobody who he is. */
  readonly host?: string;
};

/** A WhatsApp that is ours: it speaks as WhatsApp's servers do; who is there and what goes wrong is the caller's. */
export type FakeWhatsApp = {
  readonly port: number;
  /** For `waWebSocketUrl` of Baileys: `ws://127.0.0.1:…/ws/chat`. */
  readonly url: string;
  readonly world: World;
  /** @throws WorldError when the phone or the LID is taken. */
  addPerson(input: PersonInput): Person;
  /** The phone reads the code that a connection shows. @throws WorldError when none does. */
  scan(person: Person, qr: string): LinkedDevice;
  /** Somebody writes to an account; its devices get it. */
  write(
    who: { from: Person; to: Person },
    content: proto.IMessage | string,
    options?: WriteOptions,
  ): Promise<Written>;
  /** Somebody writes on the phone; the linked devices get the copy. */
  writeOnPhone(
    who: { phone: Person; to: Person },
    content: proto.IMessage | string,
    options?: WriteOptions,
  ): Promise<Written>;
  /** A linked device without a pairing. */
  makeCredentials(person: Person): ReturnType<typeof makeCredentials>;
  /** Now, whatever is under way. @throws WorldError when the device is not connected. */
  breakOff(device: LinkedDevice, how: FatalInput): void;
  /** The phone removes it: it is told, and told again whenever it comes. */
  removeDevice(device: LinkedDevice): void;
  /** Breaks off whatever is under way, for good. */
  stop(): Promise<void>;
};

/** Resolves when it listens. */
export async function startFakeWhatsApp(options: FakeWhatsAppOptions = {}): Promise<FakeWhatsApp> {
  quietLibsignal();
  const { port = 0, host = '127.0.0.1', ...settings } = options;
  const world = new World(settings);
  const { server, hangUp } = createWhatsAppServer(world);
  await listen(server, port, host);
  const { port: listening } = server.address() as AddressInfo;
  const asContent = (said: proto.IMessage | string): proto.IMessage =>
    typeof said === 'string' ? { conversation: said } : said;
  return {
    port: listening,
    url: `ws://${host}:${listening}/ws/chat`,
    world,
    addPerson: (input) => world.addPerson(input),
    scan: (person, qr) => scan(world, person, qr),
    write: (who, said, given) => writeTo(world, who, asContent(said), given),
    writeOnPhone: (who, said, given) => writeOnPhone(world, who, asContent(said), given),
    makeCredentials,
    breakOff: (device, how) => {
      const connection = world.connections.find(device);
      breakOff(mustFind(connection, `connected device ${device.jid}`), { ...how, when: 'open' });
    },
    removeDevice: (device) => removeDevice(world, device),
    stop: async () => {
      world.end();
      hangUp();
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
