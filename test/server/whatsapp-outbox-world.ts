import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jidNormalizedUser, proto } from '@whiskeysockets/baileys';
import { afterAll, onTestFinished } from 'vitest';
import { startFakeWhatsApp, type FakeWhatsApp } from '../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { createLog } from '../../platform/log.ts';
import { createLocalStore } from '../../platform/media/local-store.ts';
import type { MediaStore } from '../../platform/media/store.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase, type Database, type TextRow } from '../../platform/postgres.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { takeSentMessage } from '../../server/commands/take-sent-message.ts';
import { systemClock, type Clock } from '../../server/ingest/clock.ts';
import {
  write,
  type DeviceContext,
  type Linked,
} from '../../server/ingest/whatsapp/device-context.ts';
import { createKeyCache } from '../../server/ingest/whatsapp/key-cache.ts';
import { openSocket } from '../../server/ingest/whatsapp/open-socket.ts';
import { startOutbox, type OutboxOptions } from '../../server/ingest/whatsapp/outbox.ts';
import { openSession } from '../../server/ingest/whatsapp/session-store.ts';
import { createSharedCaches } from '../../server/ingest/whatsapp/shared-cache.ts';
import { createAccount } from '../support/account-fixture.ts';
import { createTestDatabase, eventually } from '../support/services.ts';

/** A worker of the device with a socket that is logged in. */
export type Worker = {
  readonly context: DeviceContext;
  readonly linked: Linked;
  /** As a worker ends that is asked to. */
  stop(): Promise<void>;
  /** As one ends that is not: its socket breaks off, and nothing it still wants to write is taken. */
  kill(): Promise<void>;
};

export type Stage = {
  readonly fake: FakeWhatsApp;
  readonly own: Person;
  readonly ana: Person;
  readonly device: LinkedDevice;
  readonly accountId: number;
  readonly deviceId: number;
  /** With somebody who has written in it, unless `isNew`. */
  chatWith(
    person: Pick<Person, 'name' | 'phoneJid'>,
    options?: { isNew?: boolean; jid?: string },
  ): Promise<number>;
  /** A socket, without anything that works with it. */
  link(): Promise<Worker>;
  /** With an outbox. */
  work(options?: Partial<OutboxOptions>): Promise<Worker>;
  /** What waits to be sent; gives its id and its stanza's. */
  pending(
    chatId: number,
    values: Record<string, unknown>,
  ): Promise<{ id: number; stanzaId: string }>;
  /** Shown by the message: `status`, `error`, ... */
  message(id: number): Promise<TextRow>;
  becomes(id: number, status: string): Promise<TextRow>;
};

export type OutboxWorld = {
  readonly owner: Database;
  readonly media: MediaStore;
  stage(): Promise<Stage>;
};

const BYTES_MAX = 100 * 1024 * 1024;

/** As the worker does, which looks for all of its devices where something waits. Ends with the test. */
export function keepRinging(work: { ring(): void }): void {
  const timer = setInterval(() => work.ring(), 100);
  onTestFinished(() => clearInterval(timer));
}

let numbers = 0;

/** A device linked with a fake WhatsApp, by the means of an ingest process and with its rights. Ends with the test file. */
export async function openOutboxWorld(clock: Clock = systemClock): Promise<OutboxWorld> {
  const log = createLog({ component: 'ingest', level: process.env['TEST_LOG'] ?? 'silent' });
  const test = await createTestDatabase();
  const directory = await mkdtemp(join(tmpdir(), 'clarin-test-'));
  const connect = (url: string): Database =>
    createDatabase({ url, applicationName: 'test', max: 5, statementTimeoutMs: 5_000, log });
  const ingest = new URL(test.url);
  if (ingest.username === 'clarin_test_api') ingest.username = 'clarin_test_ingest';
  const owner = connect(test.ownerUrl);
  const database = connect(ingest.href);
  const box = createSecretBox(randomBytes(32));
  const media = createLocalStore({ store: 'local', directory, bytesMax: BYTES_MAX });
  afterAll(async () => {
    await Promise.all([owner.close(), database.close()]);
    await test.drop();
    await rm(directory, { recursive: true, force: true });
  });
  const common = { database, box, media, log, metrics: createMetrics('test'), clock };

  const stage = async (): Promise<Stage> => {
    const fake = await startFakeWhatsApp();
    const own = fake.addPerson({ phone: `51900000${100 + ++numbers}`, name: 'Clarin' });
    const ana = fake.addPerson({ phone: `51987654${100 + numbers}`, name: 'Ana' });
    const { device, creds } = fake.makeCredentials(own);
    const { accountId, deviceIds } = await createAccount(owner, `outbox-${numbers}`);
    const [deviceId = 0] = deviceIds;
    const workers: Worker[] = [];
    onTestFinished(async () => {
      await Promise.all(workers.map((worker) => worker.stop()));
      await fake.stop();
    });
    let isIntroduced = false;
    const link = async (): Promise<Worker> => {
      const ended = new AbortController();
      const context: DeviceContext = {
        ...common,
        accountId,
        deviceId,
        lease: await takeLease(owner, deviceId),
        signal: ended.signal,
        onLost: () => undefined,
      };
      const cache = createKeyCache(clock);
      const onLost = (): void => undefined;
      const session = await openSession(context, { cache, onInbox: () => undefined, onLost });
      if (!isIntroduced) session.merge(creds);
      isIntroduced = true;
      await session.flush();
      const means = { url: fake.url, caches: createSharedCaches(clock), clock, log };
      const over = new AbortController();
      let isOpen = false;
      const open = openSocket(means, {
        deviceId,
        session,
        version: '2.3000.1',
        receivesGroups: () => true,
        readSent: async ({ id }) => {
          const wanted = { accountId, deviceId, messageId: id ?? '' };
          const bytes = await write(context, (tx) => takeSentMessage(tx, box, wanted));
          return bytes && proto.Message.decode(bytes);
        },
        on: {
          made: () => undefined,
          qr: () => undefined,
          creds: () => undefined,
          paired: () => undefined,
          open: () => void (isOpen = true),
        },
      });
      void open.closed.then(() => over.abort());
      await eventually(() => isOpen, { says: 'the device is connected' });
      const { me } = session.auth.creds;
      const worker = {
        context,
        linked: {
          socket: open.socket,
          me: {
            jid: jidNormalizedUser(me?.id ?? ''),
            lid: me?.lid ? jidNormalizedUser(me.lid) : undefined,
          },
          signal: over.signal,
        },
        stop: async () => {
          ended.abort();
          await open.end();
          await session.close();
        },
        kill: async () => {
          await takeLease(owner, deviceId);
          await open.end();
          ended.abort();
          await session.close();
        },
      };
      workers.push(worker);
      return worker;
    };
    const message = async (id: number): Promise<TextRow> => {
      const [row] = await owner.query(sql`
        select message_id, status, error, chat_id, body, media, edited_at, revoked_at
        from public.messages where id = ${id}`);
      return row ?? {};
    };
    return {
      fake,
      own,
      ana,
      device,
      accountId,
      deviceId,
      link,
      message,
      chatWith: async (person, { isNew = false, jid = person.phoneJid } = {}) => {
        const [contact] = await owner.query(sql`
          insert into public.contacts (account_id, name, phone, jid)
          values (${accountId}, ${person.name}, ${jid.split('@')[0]}, ${jid}) returning id`);
        const [chat] = await owner.query(sql`
          insert into public.chats (account_id, device_id, contact_id, jid)
          values (${accountId}, ${deviceId}, ${Number(contact?.['id'])}, ${jid}) returning id`);
        const chatId = Number(chat?.['id']);
        if (!isNew)
          await owner.query(sql`
            insert into public.messages (account_id, chat_id, message_id, body, from_jid, is_from_me, status)
            values (${accountId}, ${chatId}, 'FIRST', 'Hello', ${jid}, false, 'received')`);
        return chatId;
      },
      work: async (options = {}) => {
        const worker = await link();
        const outbox = startOutbox(worker.context, worker.linked, {
          newChatsPerDay: 20,
          pace: { gapMs: 0, jitterMs: 0 },
          ...options,
        });
        keepRinging(outbox);
        const working: Worker = {
          ...worker,
          stop: async () => {
            await outbox.stop();
            await worker.stop();
          },
          kill: async () => {
            await worker.kill();
            await outbox.stop();
          },
        };
        workers.splice(workers.indexOf(worker), 1, working);
        return working;
      },
      pending: async (chatId, values) => {
        const given = { message_type: 'text', ...values };
        const [row] = await owner.query(sql`
          insert into public.messages (
            account_id, chat_id, message_type, body, media, media_id, poll, location, quoted_message_id,
            quoted_from_jid, quoted_body, target_message_id, is_forwarded, is_from_me, status
          )
          select ${accountId}, ${chatId}, said.message_type, said.body, said.media, said.media_id, said.poll,
            said.location, said.quoted_message_id, said.quoted_from_jid, said.quoted_body, said.target_message_id,
            coalesce(said.is_forwarded, false), true, 'pending'
          from jsonb_populate_record(null::public.messages, ${JSON.stringify(given)}::jsonb) as said
          returning id, message_id`);
        return { id: Number(row?.['id']), stanzaId: row?.['message_id'] ?? '' };
      },
      becomes: (id, status) =>
        eventually(
          async () => {
            const row = await message(id);
            if (row['status'] !== status)
              throw new Error(`it is ${row['status']}: ${row['error'] ?? ''}`);
            return row;
          },
          { says: `the message is ${status}`, timeoutMs: 20_000 },
        ),
    };
  };
  return { owner, media, stage };
}

async function takeLease(owner: Database, deviceId: number): Promise<DeviceContext['lease']> {
  const worker = randomUUID();
  const resource = `whatsapp:${deviceId}`;
  const [row] = await owner.query(sql`
    insert into private.ingest_leases as lease (resource, owner, fence) values (${resource}, ${worker}, 1)
    on conflict (resource) do update set owner = excluded.owner, fence = lease.fence + 1
    returning fence`);
  return { resource, owner: worker, fence: Number(row?.['fence']) };
}
