import { EventEmitter } from 'node:events';
import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import type { proto, WASocket } from '@whiskeysockets/baileys';
import { afterAll, onTestFinished } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createLocalStore } from '../../platform/media/local-store.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase, type Database, type TextRow } from '../../platform/postgres.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { insertInbox } from '../../server/commands/whatsapp-inbox.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import type { DeviceContext } from '../../server/ingest/whatsapp/device-context.ts';
import { startInbound, type Inbound } from '../../server/ingest/whatsapp/inbound.ts';
import type { Me } from '../../server/whatsapp/map-message.ts';
import type { Node } from '../../server/whatsapp/map-receipt.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/services.ts';
import { ME, padded } from './whatsapp/stanzas.ts';

/** One device that receives, as a worker works for it. */
export type Receiving = AccountFixture & {
  readonly context: DeviceContext;
  readonly deviceId: number;
  inbound: Inbound;
  /** As the session writes it; taken as soon as somebody looks. */
  decrypted(attrs: Record<string, string>, message: proto.IMessage | Uint8Array): Promise<void>;
  /** A socket, as far as what comes in listens to it. */
  socket(): HeardSocket;
  /** Ends the work and begins it anew, as another process does. */
  restart(): Promise<void>;
  stop(): Promise<void>;
  /** Nothing waits in the inbox any more but what was given up. */
  settled(): Promise<void>;
  all(statement: Sql): Promise<TextRow[]>;
  /** All messages that are ones, oldest first. */
  messages(): Promise<TextRow[]>;
  message(messageId: string): Promise<TextRow>;
  chats(): Promise<TextRow[]>;
};

/** What Baileys tells of a socket, told by hand. */
export type HeardSocket = {
  readonly socket: WASocket;
  readonly ws: EventEmitter;
  readonly ev: EventEmitter;
  /** Users of LIDs by users of numbers, as Signal's store has them. */
  readonly mappings: Map<string, string>;
  /** What was kept under `tctoken`. */
  readonly tokens: Map<string, unknown>;
  receipt(attrs: Record<string, string>, ids?: readonly string[]): void;
  ack(attrs: Record<string, string>): void;
  open(): void;
};

export type InboundWorld = {
  readonly owner: Database;
  /** `me`: who it is to WhatsApp. */
  device(me?: Me): Promise<Receiving>;
};

export async function openInboundWorld(): Promise<InboundWorld> {
  const log = createLog({ component: 'ingest', level: process.env['TEST_LOG'] ?? 'silent' });
  const test = await createTestDatabase();
  const connectTo = (url: string): Database =>
    createDatabase({
      url,
      applicationName: 'test inbound',
      max: 5,
      statementTimeoutMs: 10_000,
      log,
    });
  const ingest = new URL(test.url);
  if (ingest.username === 'clarin_test_api') ingest.username = 'clarin_test_ingest';
  const owner = connectTo(test.ownerUrl);
  const database = connectTo(ingest.href);
  const box = createSecretBox(randomBytes(32));
  const media = createLocalStore({ store: 'local', directory: tmpdir(), bytesMax: 1 });
  let accounts = 0;
  afterAll(async () => {
    await Promise.all([owner.close(), database.close()]);
    await test.drop();
  });
  return {
    owner,
    device: async (me = ME) => {
      const account = await createAccount(owner, `inbound-${accounts++}`);
      const deviceId = account.deviceIds[0] ?? 0;
      await clear(owner, account.accountId);
      const over = new AbortController();
      const context: DeviceContext = {
        accountId: account.accountId,
        deviceId,
        lease: await takeLease(owner, deviceId),
        database,
        box,
        media,
        log,
        metrics: createMetrics('test'),
        clock: systemClock,
        signal: over.signal,
        onLost: () => undefined,
      };
      const receiving = receive(owner, { ...account, context, deviceId, me });
      onTestFinished(async () => {
        await receiving.stop();
        over.abort();
      });
      return receiving;
    },
  };
}

/** Its conversations are those of the test. */
async function clear(owner: Database, accountId: number): Promise<void> {
  await owner.query(sql`delete from public.campaign_recipients where account_id = ${accountId}`);
  await owner.query(sql`delete from public.chats where account_id = ${accountId}`);
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

type Given = AccountFixture & {
  readonly context: DeviceContext;
  readonly deviceId: number;
  readonly me: Me;
};

function receive(owner: Database, given: Given): Receiving {
  const { context, accountId, deviceId } = given;
  const start = (): Inbound => startInbound(context, { me: () => given.me });
  const receiving: Receiving = {
    ...given,
    inbound: start(),
    decrypted: async (attrs, message) => {
      const plain = message instanceof Uint8Array ? message : padded(message);
      const stanza = { key: randomUUID(), attrs, plain };
      await owner.transaction((tx) => insertInbox(tx, context.box, context, [stanza]));
      receiving.inbound.ring();
    },
    socket: () => hear(receiving),
    restart: async () => {
      await receiving.inbound.stop();
      receiving.inbound = start();
    },
    stop: () => receiving.inbound.stop(),
    settled: async () => {
      await eventually(
        async () => {
          const rows = await owner.query(sql`
            select id from private.whatsapp_inbox
            where device_id = ${deviceId} and next_at is not null`);
          return rows.length === 0;
        },
        { says: 'the inbox is empty', timeoutMs: 30_000 },
      );
    },
    all: (statement) => owner.query(statement),
    messages: () =>
      owner.query(sql`
        select message.id, message.message_id, message.message_type, message.body, message.is_from_me,
          message.from_jid, message.from_name, message.status, message.quoted_message_id, message.media,
          message.media_id, message.chat_id, message.edited_at is not null as is_edited,
          message.revoked_at is not null as is_revoked
        from public.messages as message
        where message.account_id = ${accountId} and message.target_message_id is null
        order by message.sent_at, message.id`),
    message: (messageId) =>
      eventually(
        async () => (await receiving.messages()).find((row) => row['message_id'] === messageId),
        {
          says: `the message ${messageId} is there`,
        },
      ),
    chats: () =>
      owner.query(sql`
        select chat.id, chat.jid, chat.name, chat.unread_count, chat.last_message, chat.contact_id, contact.lid,
          contact.push_name
        from public.chats as chat
        join public.contacts as contact on contact.id = chat.contact_id
        where chat.account_id = ${accountId}
        order by chat.id`),
  };
  return receiving;
}

function hear(receiving: Receiving): HeardSocket {
  const ws = new EventEmitter();
  const ev = new EventEmitter();
  const mappings = new Map<string, string>();
  const tokens = new Map<string, unknown>();
  const userOf = (jid: string): string => jid.slice(0, jid.indexOf('@'));
  const stored: Record<string, Map<string, unknown>> = { 'lid-mapping': mappings, tctoken: tokens };
  const socket = {
    ws,
    ev,
    authState: {
      creds: { accountSyncCounter: 1 },
      keys: {
        get: async (type: string, ids: string[]) =>
          Object.fromEntries(ids.map((id) => [id, stored[type]?.get(id)])),
        set: async (data: Record<string, Record<string, unknown>>) => {
          for (const [type, values] of Object.entries(data))
            for (const [id, value] of Object.entries(values)) stored[type]?.set(id, value);
        },
      },
    },
    signalRepository: {
      lidMapping: {
        getPNForLID: async (lid: string) => {
          const [number] = [...mappings].find(([, user]) => user === userOf(lid)) ?? [];
          return number === undefined ? null : `${number}:0@s.whatsapp.net`;
        },
        getLIDForPN: async (pn: string) => {
          const lid = mappings.get(userOf(pn));
          return lid === undefined ? null : `${lid}@lid`;
        },
        storeLIDPNMappings: async (pairs: { lid: string; pn: string }[]) => {
          for (const { lid, pn } of pairs) mappings.set(userOf(pn), userOf(lid));
        },
      },
    },
    groupMetadata: async (jid: string) => ({ id: jid, subject: 'The group' }),
  } as unknown as WASocket;
  receiving.inbound.watch(socket);
  const node = (tag: string, attrs: Record<string, string>, content?: unknown): Node => ({
    tag,
    attrs,
    content,
  });
  return {
    socket,
    ws,
    ev,
    mappings,
    tokens,
    open: () => void ev.emit('connection.update', { connection: 'open' }),
    receipt: (attrs, ids = []) => {
      const items = ids.map((id) => node('item', { id }));
      ws.emit('CB:receipt', node('receipt', attrs, [node('list', {}, items)]));
    },
    ack: (attrs) =>
      void ws.emit('CB:ack,class:message', node('ack', { class: 'message', ...attrs })),
  };
}
