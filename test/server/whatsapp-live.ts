import { jidNormalizedUser, makeWASocket, type WASocket } from '@whiskeysockets/baileys';
import { onTestFinished } from 'vitest';
import { startFakeWhatsApp, type FakeWhatsApp } from '../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { silent } from '../../fakes/whatsapp/quiet.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import { createKeyCache } from '../../server/ingest/whatsapp/key-cache.ts';
import type { DeviceSession } from '../../server/ingest/whatsapp/device-session.ts';
import { openSession } from '../../server/ingest/whatsapp/session-store.ts';
import type { InboundWorld, Receiving } from './whatsapp-inbound-world.ts';

/** A device of ours with the fake WhatsApp: real Baileys, real ratchets, real receipts. */
export type Live = {
  readonly device: Receiving;
  readonly fake: FakeWhatsApp;
  readonly own: Person;
  readonly ana: Person;
  readonly linked: LinkedDevice;
  readonly connect: () => Promise<{ socket: WASocket; session: DeviceSession }>;
};

export async function openLive(
  world: InboundWorld,
  addressing: 'lid' | 'lid-only' = 'lid',
): Promise<Live> {
  const fake = await startFakeWhatsApp();
  onTestFinished(() => fake.stop());
  const own = fake.addPerson({ phone: '51999000001', lid: '111222333444555', name: 'Clarin' });
  const ana = fake.addPerson({
    phone: '51987654321',
    lid: '99887766554433',
    name: 'Ana',
    addressing,
  });
  const { device: linked, creds } = fake.makeCredentials(own);
  const me = { jid: jidNormalizedUser(creds.me?.id), lid: jidNormalizedUser(creds.me?.lid) };
  const device = await world.device(me);
  const { context } = device;
  let isFirst = true;
  const connect: Live['connect'] = async () => {
    const session = await openSession(context, {
      // As after a restart: what is in the database counts.
      cache: createKeyCache(systemClock),
      onInbox: () => device.inbound.ring(),
      onLost: () => undefined,
    });
    if (isFirst) session.merge(creds);
    isFirst = false;
    await session.flush();
    const socket = makeWASocket({
      auth: session.auth,
      makeSignalRepository: session.makeSignalRepository,
      transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
      waWebSocketUrl: fake.url,
      logger: silent,
      markOnlineOnConnect: false,
      shouldSyncHistoryMessage: () => false,
    });
    session.watch(socket);
    device.inbound.watch(socket);
    socket.ev.on('creds.update', (update) => session.merge(update));
    onTestFinished(async () => {
      await socket.end(undefined);
      await session.close();
    });
    await new Promise<void>((resolve) => {
      socket.ev.on('connection.update', ({ connection }) => {
        if (connection === 'open') resolve();
      });
    });
    return { socket, session };
  };
  return { device, fake, own, ana, linked, connect };
}
