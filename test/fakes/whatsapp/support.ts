import { onTestFinished } from 'vitest';
import { startFakeWhatsApp, type FakeWhatsApp } from '../../../fakes/whatsapp/fake-whatsapp.ts';
import type { FakeWhatsAppOptions } from '../../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../../fakes/whatsapp/person.ts';
import { connect, newSession, type Client, type Session } from './client.ts';

export const OWN = { phone: '51999000001', lid: '111222333444555', name: 'Clarin' };
export const ANA = { phone: '51987654321', lid: '99887766554433', name: 'Ana' };

export type Stage = {
  readonly fake: FakeWhatsApp;
  readonly own: Person;
  readonly ana: Person;
  readonly device: LinkedDevice;
  readonly session: Session;
  /** One more connection of the device. */
  readonly join: (config?: Parameters<typeof connect>[2]) => Client;
};

/** Stopped when the test ends; no mistake of the fake's own may have been noted. */
export async function startFake(options?: FakeWhatsAppOptions): Promise<FakeWhatsApp> {
  const fake = await startFakeWhatsApp(options);
  onTestFinished(() => fake.stop());
  return fake;
}

/** An own phone, with a linked device that has not connected yet, and Ana. */
export async function startStage(options?: FakeWhatsAppOptions): Promise<Stage> {
  const fake = await startFake(options);
  const own = fake.addPerson(OWN);
  const ana = fake.addPerson(ANA);
  const { device, creds } = fake.makeCredentials(own);
  const session = newSession(creds);
  return {
    fake,
    own,
    ana,
    device,
    session,
    join: (config) => connect(fake.url, session, config),
  };
}

/** With the device connected. */
export async function startOpen(
  options?: FakeWhatsAppOptions,
): Promise<Stage & { client: Client }> {
  const stage = await startStage(options);
  const client = stage.join();
  await client.isOpen();
  return { ...stage, client };
}
