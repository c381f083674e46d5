import { beforeAll, expect, test } from 'vitest';
import { passContacts, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import { openWorkerWorld, type WorkerWorld } from './kommo-worker-world.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

test('a lead whose contact is in the lists later than itself has it as soon as it is there', async () => {
  const account = await world.account();
  const { kommo, connection } = account;
  const session = await world.session(connection);
  kommo.set({ listDelayMs: [2_000, 2_000] });
  const { id: contactId } = kommo.contacts.create({ name: 'Late' });
  kommo.set({ listDelayMs: [0, 0] });
  const lead = kommo.leads.create({ name: 'Early', contactIds: [contactId] });
  const contactOf = async () =>
    (await world.leads(connection)).get(lead.id)?.['contact_kommo_id'] ?? undefined;
  await passLeads(session);
  expect([...(await world.leads(connection)).keys()]).toEqual([lead.id]);
  expect(await contactOf()).toBeUndefined();
  world.tick(5);
  await passContacts(session);
  await passLeads(session);
  expect(await contactOf()).toBe(String(contactId));
});
