import { EventEmitter } from 'node:events';
import { randomBytes, randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import {
  addTransactionCapability,
  decryptMessageNode,
  getNextPreKeys,
  generateSignalPubKey,
  proto,
  unpadRandomMax16,
  type AuthenticationCreds,
  type BinaryNode,
  type SignalKeyStoreWithTransaction,
  type SignalRepositoryWithLIDStore,
  type WAMessage,
  type WASocket,
} from '@whiskeysockets/baileys';
import { afterAll } from 'vitest';
import { silent } from '../../fakes/whatsapp/quiet.ts';
import { SignalParty, type Bundle } from '../../fakes/whatsapp/signal-party.ts';
import { createLog } from '../../platform/log.ts';
import { createLocalStore } from '../../platform/media/local-store.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase, type Database, type TextRow } from '../../platform/postgres.ts';
import { createSecretBox, type SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { readInbox, type InboxRow } from '../../server/commands/whatsapp-inbox.ts';
import { systemClock, type Clock } from '../../server/ingest/clock.ts';
import type { DeviceContext } from '../../server/ingest/whatsapp/device-context.ts';
import { createKeyCache, type KeyCache } from '../../server/ingest/whatsapp/key-cache.ts';
import type { DeviceSession } from '../../server/ingest/whatsapp/device-session.ts';
import { openSession } from '../../server/ingest/whatsapp/session-store.ts';
import { createAccount } from '../support/account-fixture.ts';
import { createTestDatabase } from '../support/services.ts';

export const ME = {
  id: '5215551234567:5@s.whatsapp.net',
  lid: '111222333444555:5@lid',
  name: 'Clarin',
};

/** One device of ours, its session, and what a socket of Baileys' would do with it. */
export type Worked = {
  readonly context: DeviceContext;
  readonly cache: KeyCache;
  session: DeviceSession;
  /** Of the session, made when it is first asked for: who has a real socket asks for none. */
  readonly receiver: Receiver;
  /** What `onInbox` and `onLost` were called for, one after the other. */
  readonly calls: string[];
  /** After a restart of the process, or on a socket of its own. */
  reopen(cache?: KeyCache): Promise<void>;
  inbox(): Promise<readonly InboxRow[]>;
  texts(): Promise<string[]>;
  /** Somebody else takes it. */
  lose(): Promise<void>;
};

/** Receives stanzas as a socket of Baileys' does, up to where it would answer. */
export type Receiver = {
  readonly keys: SignalKeyStoreWithTransaction;
  readonly repository: SignalRepositoryWithLIDStore;
  /** What the socket was ended with. */
  readonly ended: unknown[];
  /** It has come, and nobody has looked at it yet. */
  announce(node: BinaryNode): void;
  /** With the text, or with the stub that a receipt for retrying follows. */
  receive(node: BinaryNode): Promise<WAMessage>;
};

export type SessionWorld = {
  readonly owner: Database;
  readonly box: SecretBox;
  /** `creds`: of a device that is linked already. */
  device(options?: {
    database?: Database;
    clock?: Clock;
    creds?: Partial<AuthenticationCreds>;
  }): Promise<Worked>;
  /** As the ingest process may, by a URL of one's own. */
  connect(url?: string): Database;
  readonly ingestUrl: string;
  /** As they are in the database, with the transactions that wrote them. */
  keyRows(worked: Worked): Promise<TextRow[]>;
  sessionRow(worked: Worked): Promise<TextRow | undefined>;
};

export async function openSessionWorld(): Promise<SessionWorld> {
  const log = createLog({ component: 'ingest', level: process.env['TEST_LOG'] ?? 'silent' });
  const test = await createTestDatabase();
  const opened: Database[] = [];
  const connectTo = (url: string): Database => {
    const database = createDatabase({
      url,
      applicationName: 'test whatsapp session',
      max: 5,
      statementTimeoutMs: 5_000,
      log,
    });
    opened.push(database);
    return database;
  };
  const ingest = new URL(test.url);
  if (ingest.username === 'clarin_test_api') ingest.username = 'clarin_test_ingest';
  const owner = connectTo(test.ownerUrl);
  const database = connectTo(ingest.href);
  const box = createSecretBox(randomBytes(32));
  const media = createLocalStore({ store: 'local', directory: tmpdir(), bytesMax: 1 });
  let accounts = 0;
  afterAll(async () => {
    await Promise.all(opened.map((each) => each.close()));
    await test.drop();
  });

  const device: SessionWorld['device'] = async (options = {}) => {
    const { accountId, deviceIds } = await createAccount(owner, `session-${accounts++}`);
    const deviceId = deviceIds[0] ?? 0;
    const calls: string[] = [];
    const context: DeviceContext = {
      accountId,
      deviceId,
      lease: await takeLease(owner, deviceId),
      database: options.database ?? database,
      box,
      media,
      log,
      metrics: createMetrics('test'),
      clock: options.clock ?? systemClock,
      signal: new AbortController().signal,
      onLost: () => calls.push('context lost'),
    };
    const cache = createKeyCache(systemClock);
    const open = (by: KeyCache): Promise<DeviceSession> =>
      openSession(context, {
        cache: by,
        onInbox: () => calls.push('inbox'),
        onLost: () => calls.push('lost'),
      });
    const session = await open(cache);
    session.merge(options.creds ?? { me: ME });
    await session.flush();
    let receiver: Receiver | undefined;
    const worked: Worked = {
      context,
      cache,
      session,
      get receiver() {
        return (receiver ??= createReceiver(worked.session));
      },
      calls,
      reopen: async (by = cache) => {
        worked.session = await open(by);
        receiver = undefined;
      },
      inbox: async () => (await readInbox(owner, box, context)).rows,
      texts: async () => (await worked.inbox()).map(textOf),
      lose: async () => void (await takeLease(owner, deviceId)),
    };
    return worked;
  };
  return {
    owner,
    box,
    device,
    ingestUrl: ingest.href,
    keyRows: ({ context }) =>
      owner.query(sql`
        select type, id, encode(value, 'hex') as value, xmin
        from private.whatsapp_keys where device_id = ${context.deviceId} order by type, id`),
    sessionRow: async ({ context }) => {
      const [row] = await owner.query(sql`
        select encode(creds, 'hex') as creds, xmin
        from private.whatsapp_sessions where device_id = ${context.deviceId}`);
      return row;
    },
    connect: (url = ingest.href) => connectTo(url),
  };
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

function createReceiver(session: DeviceSession): Receiver {
  const ws = new EventEmitter();
  const ended: unknown[] = [];
  const end = async (error: unknown): Promise<void> => void ended.push(error);
  const { creds } = session.auth;
  const keys = addTransactionCapability(session.auth.keys, silent, {
    maxCommitRetries: 1,
    delayBetweenTriesMs: 0,
  });
  const repository = session.makeSignalRepository({ creds, keys }, silent);
  session.watch({ ws, end } as unknown as WASocket);
  return {
    keys,
    repository,
    ended,
    announce: (node) => void ws.emit('CB:message', node),
    receive: async (node) => {
      ws.emit('CB:message', node);
      const { id = '', lid = '' } = creds.me ?? {};
      const decoded = decryptMessageNode(node, id, lid, repository, silent);
      await decoded.decrypt();
      return decoded.fullMessage;
    },
  };
}

/** What there is to write to the device first, one-time key included. */
export async function bundleOf({ session, receiver }: Worked, preKeyId: number): Promise<Bundle> {
  const { creds } = session.auth;
  const { [preKeyId]: preKey } = await receiver.keys.get('pre-key', [String(preKeyId)]);
  if (!preKey) throw new Error(`no pre-key ${preKeyId}`);
  return {
    registrationId: creds.registrationId,
    identityKey: generateSignalPubKey(creds.signedIdentityKey.public),
    signedPreKey: {
      keyId: creds.signedPreKey.keyId,
      publicKey: generateSignalPubKey(creds.signedPreKey.keyPair.public),
      signature: creds.signedPreKey.signature,
    },
    preKey: { keyId: preKeyId, publicKey: generateSignalPubKey(preKey.public) },
  };
}

/** Somebody who writes to a device of ours. */
export type Writer = {
  readonly party: SignalParty;
  readonly lid: string;
  /** The stanza as it arrives. */
  says(text: string, id: string): Promise<BinaryNode>;
};

let writers = 0;

export async function writerTo(
  worked: Worked,
  { preKeyId = 1, lid = `9988776655${4000 + writers++}@lid` } = {},
): Promise<Writer> {
  const party = new SignalParty();
  const { session, receiver } = worked;
  const has = await receiver.keys.get('pre-key', [String(preKeyId)]);
  if (!has[preKeyId]) await makePreKeys(worked, preKeyId);
  const bundle = await bundleOf(worked, preKeyId);
  const to = session.auth.creds.me?.lid ?? '';
  return {
    party,
    lid,
    says: async (text, id) => {
      const { type, ciphertext } = await party.encrypt(to, () => bundle, { conversation: text });
      return stanza({ id, from: lid }, [{ type, ciphertext }]);
    },
  };
}

export function stanza(
  attrs: Record<string, string>,
  encrypted: readonly { type: string; ciphertext: Uint8Array }[],
): BinaryNode {
  return {
    tag: 'message',
    attrs: { t: '1790000000', notify: 'Ana', type: 'text', ...attrs },
    content: encrypted.map(({ type, ciphertext }) => ({
      tag: 'enc',
      attrs: { v: '2', type },
      content: Buffer.from(ciphertext),
    })),
  };
}

/** Up to that id, as a socket makes them: keys and the credentials that count them. */
export async function makePreKeys({ session, receiver }: Worked, upTo: number): Promise<void> {
  const { creds } = session.auth;
  const count = upTo + 1 - creds.nextPreKeyId;
  await receiver.keys.transaction(async () => {
    const { update } = await getNextPreKeys({ creds, keys: receiver.keys }, count);
    session.merge(update);
  }, creds.me?.id ?? '');
}

export function textOf({ plain }: { readonly plain: Uint8Array }): string {
  return proto.Message.decode(unpadRandomMax16(plain)).conversation ?? '';
}
