import { onTestFinished } from 'vitest';
import {
  addTransactionCapability,
  initAuthCreds,
  makeWASocket,
  type AuthenticationCreds,
  type ConnectionState,
  type SignalDataTypeMap,
  type SignalKeyStore,
  type UserFacingSocketConfig,
  type WAMessage,
  type WAMessageUpdate,
  type WASocket,
} from '@whiskeysockets/baileys';
import { quietLibsignal, silent } from '../../../fakes/whatsapp/quiet.ts';
import { eventually } from '../../support/eventually.ts';

/** What a session keeps over its connections: in memory here. */
export type Session = { readonly creds: AuthenticationCreds; readonly keys: SignalKeyStore };

export function newSession(creds: AuthenticationCreds = initAuthCreds()): Session {
  return { creds, keys: memoryKeys() };
}

/** An unmodified socket of Baileys', and what it has emitted. */
export type Client = {
  readonly socket: WASocket;
  readonly updates: Partial<ConnectionState>[];
  readonly messages: WAMessage[];
  /** `notify` or `append` of each of them. */
  readonly kinds: string[];
  readonly changes: WAMessageUpdate[];
  isOpen(): Promise<true>;
  qr(): Promise<string>;
  /** The status code with which it was closed; `none` when there is none. */
  closed(timeoutMs?: number): Promise<number | 'none'>;
  message(id: string): Promise<WAMessage>;
  end(): void;
};

/** Ended with the test. */
export function connect(
  url: string,
  session: Session,
  config: Partial<UserFacingSocketConfig> = {},
): Client {
  quietLibsignal();
  const socket = makeWASocket({
    auth: session,
    waWebSocketUrl: url,
    logger: silent,
    markOnlineOnConnect: false,
    shouldSyncHistoryMessage: () => false,
    ...config,
  });
  const updates: Partial<ConnectionState>[] = [];
  const messages: WAMessage[] = [];
  const kinds: string[] = [];
  const changes: WAMessageUpdate[] = [];
  socket.ev.on('creds.update', (update) => Object.assign(session.creds, update));
  socket.ev.on('connection.update', (update) => updates.push(update));
  socket.ev.on('messages.upsert', (upsert) => {
    messages.push(...upsert.messages);
    kinds.push(...upsert.messages.map(() => upsert.type));
  });
  socket.ev.on('messages.update', (given) => changes.push(...given));
  onTestFinished(() => void socket.end(undefined));
  return {
    socket,
    updates,
    messages,
    kinds,
    changes,
    isOpen: () => eventually(() => updates.some(({ connection }) => connection === 'open')),
    qr: () => eventually(() => updates.findLast(({ qr }) => qr)?.qr),
    closed: async (timeoutMs = 10_000) => {
      const update = await eventually(
        () => updates.find(({ connection }) => connection === 'close'),
        { timeoutMs, says: 'the socket is closed' },
      );
      const error = update.lastDisconnect?.error as
        | { output?: { statusCode?: number } }
        | undefined;
      return error?.output?.statusCode ?? 'none';
    },
    message: (id) => eventually(() => messages.find(({ key }) => key.id === id)),
    end: () => void socket.end(undefined),
  };
}

function memoryKeys(): SignalKeyStore {
  const values = new Map<string, unknown>();
  const store: SignalKeyStore = {
    get: <T extends keyof SignalDataTypeMap>(type: T, ids: string[]) => {
      const found: { [id: string]: SignalDataTypeMap[T] } = {};
      for (const id of ids) {
        const value = values.get(`${type}/${id}`);
        if (value !== undefined) found[id] = value as SignalDataTypeMap[T];
      }
      return found;
    },
    set: (data) => {
      for (const [type, ofType] of Object.entries(data)) {
        for (const [id, value] of Object.entries(ofType ?? {})) {
          if (value === null) values.delete(`${type}/${id}`);
          else values.set(`${type}/${id}`, value);
        }
      }
    },
  };
  return addTransactionCapability(store, silent, { maxCommitRetries: 1, delayBetweenTriesMs: 1 });
}
