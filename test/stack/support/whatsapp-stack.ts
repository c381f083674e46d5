import { startFakeWhatsApp, type FakeWhatsApp } from '../../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../../fakes/whatsapp/person.ts';
import type { Database } from '../../../platform/postgres.ts';
import { createSecretBox } from '../../../platform/secret-box.ts';
import { createWhatsappSession } from '../../../server/commands/whatsapp-session.ts';
import { createKeySealer } from '../../../server/ingest/whatsapp/key-codec.ts';
import { eventually, type TestPostgres } from '../../support/services.ts';
import type { RunningRole } from '../../support/spawn-role.ts';
import { openTruth } from './compare.ts';
import { startStack, type Stack, type TestAccount } from './stack.ts';

/** A whole Clarin whose devices are at a WhatsApp of ours. */
export type WhatsappStack = {
  readonly stack: Stack;
  readonly fake: FakeWhatsApp;
  readonly truth: Database;
  /** One more process of role ingest. */
  spawnIngest(more?: Record<string, string>): Promise<RunningRole>;
  /** What `data` of the answer is. @throws when it is refused. */
  request<T>(account: TestAccount, route: string, body?: unknown): Promise<T>;
  /** Its own number, and the row's id. */
  addDevice(account: TestAccount, phone: string): Promise<{ id: number; own: Person }>;
  /** The same, linked as after a pairing and wanted connected. */
  addLinked(
    account: TestAccount,
    phone: string,
  ): Promise<{ id: number; own: Person; linked: LinkedDevice }>;
  untilStatus(deviceId: number, status: string, timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
};

/** Longer than anything takes on a machine that does much else. */
export const TIMEOUT_MS = 60_000;

/** `postgres`: one that is the test's own, to be broken. */
export async function startWhatsappStack({
  postgres,
}: { postgres?: TestPostgres } = {}): Promise<WhatsappStack> {
  const fake = await startFakeWhatsApp();
  const stack = await startStack({
    more: { WHATSAPP_URL: fake.url },
    ...(postgres && { postgres }),
  });
  const truth = openTruth(stack);
  const url = new URL(stack.database.url);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  const environment = { DATABASE_URL: url.href, NODE_EXTRA_CA_CERTS: fake.certificatePath };
  const request: WhatsappStack['request'] = async <T>(
    account: TestAccount,
    route: string,
    body?: unknown,
  ) => {
    const { status, text, json } = await stack.request(account, route, body);
    if (status >= 300) throw new Error(`${route}: ${status} ${text}`);
    return json['data'] as T;
  };
  const addDevice: WhatsappStack['addDevice'] = async (account, phone) => {
    const { id } = await request<{ id: number }>(account, 'POST /api/devices', { name: phone });
    return { id, own: fake.addPerson({ phone }) };
  };
  return {
    stack,
    fake,
    truth,
    request,
    addDevice,
    spawnIngest: (more = {}) => stack.spawn('ingest', { ...environment, ...more }),
    addLinked: async (account, phone) => {
      const { id, own } = await addDevice(account, phone);
      const { creds, device } = fake.makeCredentials(own);
      const key = stack.environment['CLARIN_ENCRYPTION_KEY'] ?? '';
      const sealer = createKeySealer(createSecretBox(Buffer.from(key, 'hex')), id);
      await createWhatsappSession(
        truth,
        { accountId: account.id, deviceId: id },
        sealer.sealCreds(creds),
      );
      await request(account, `POST /api/devices/${id}/connect`, {});
      return { id, own, linked: device };
    },
    untilStatus: async (deviceId, status, timeoutMs = TIMEOUT_MS) => {
      await eventually(
        async () => {
          const [row] = await stack.sql(
            'select status, status_code, status_reason from devices where id = $1',
            [deviceId],
          );
          if (row?.['status'] !== status) throw new Error(JSON.stringify(row));
          return true;
        },
        { says: `device ${deviceId} is ${status}`, timeoutMs },
      );
    },
    close: async () => {
      await truth.close();
      await stack.close();
      await fake.stop();
    },
  };
}
