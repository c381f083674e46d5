import {
  initAuthCreds,
  type AuthenticationCreds,
  type SignalDataSet,
  type SignalDataTypeMap,
  type WASocket,
} from '@whiskeysockets/baileys';
import { ClarinError } from '../../../domain/errors.ts';
import { saveWhatsappKeys } from '../../commands/save-whatsapp-keys.ts';
import type { DecryptedStanza } from '../../commands/whatsapp-inbox.ts';
import {
  clearWhatsappKeys,
  createWhatsappSession,
  deleteWhatsappSession,
  readWhatsappKeys,
  readWhatsappSession,
} from '../../commands/whatsapp-session.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { write, type DeviceContext } from './device-context.ts';
import {
  SessionOver,
  type DeviceSession,
  type OverReason,
  type SessionOptions,
} from './device-session.ts';
import { createDurableRepository, type DurableRepository } from './durable-repository.ts';
import type { CachedKey, KeyCache } from './key-cache.ts';
import {
  createKeySealer,
  decodeKey,
  encodeKeys,
  isKeyId,
  type KeySealer,
  type KeyType,
} from './key-codec.ts';
import { outlastOutage } from './outlast-outage.ts';
import { createTurns } from './turns.ts';

const CREDS_AFTER_MS = 1_000;

/**
 * The device's session, or a new one that nobody is logged in with.
 * @throws LeaseLost, ClarinError (`configuration` when it was sealed with another key), the signal's reason.
 */
export async function openSession(
  context: DeviceContext,
  options: SessionOptions,
): Promise<DeviceSession> {
  // Another process may have had the device since.
  options.cache.drop(context.deviceId);
  const sealer = createKeySealer(context.box, context.deviceId);
  const creds = await write(context, async (tx) => {
    const sealed = await readWhatsappSession(tx, context);
    if (sealed) return sealer.openCreds(sealed);
    const fresh = initAuthCreds();
    await createWhatsappSession(tx, context, sealer.sealCreds(fresh));
    return fresh;
  });
  return new StoredSession(context, options, { sealer, creds });
}

/** The credentials as they were written last; undefined: there is no session. @throws as `openSession`. */
export async function readCreds(context: DeviceContext): Promise<AuthenticationCreds | undefined> {
  const sealed = await readWhatsappSession(context.database, context);
  return sealed && createKeySealer(context.box, context.deviceId).openCreds(sealed);
}

/** The device is logged out: keys and credentials go. After its session was closed. @throws as `openSession`. */
export async function deleteSession(context: DeviceContext, cache: KeyCache): Promise<void> {
  await write(context, (tx) => deleteWhatsappSession(tx, context));
  cache.drop(context.deviceId);
}

class StoredSession implements DeviceSession {
  readonly auth: DeviceSession['auth'];
  readonly makeSignalRepository: DeviceSession['makeSignalRepository'];
  readonly #context: DeviceContext;
  readonly #options: SessionOptions;
  readonly #sealer: KeySealer;
  readonly #repository: DurableRepository;
  readonly #turns = createTurns();
  /** Not the context's signal: who ends the work closes the session, and a commit under way is not cut off. */
  readonly #ended = new AbortController();
  #socket: WASocket | undefined;
  #areCredsDirty = false;
  #isFlushPlanned = false;
  #isClosing = false;
  #over: SessionOver | undefined;

  constructor(
    context: DeviceContext,
    options: SessionOptions,
    { sealer, creds }: { sealer: KeySealer; creds: AuthenticationCreds },
  ) {
    this.#context = { ...context, signal: this.#ended.signal };
    this.#options = options;
    this.#sealer = sealer;
    this.#repository = createDurableRepository(context.clock, (stanzas) => this.#save([], stanzas));
    this.makeSignalRepository = this.#repository.makeSignalRepository;
    this.auth = {
      creds,
      keys: {
        get: (type, ids) => this.#get(type, ids),
        set: (data) => this.#set(data),
        clear: () => this.#clear(),
      },
    };
  }

  watch(socket: WASocket): void {
    this.#socket = socket;
    this.#repository.watch(socket);
    if (this.#over) this.#endSocket(this.#over);
  }

  readonly merge = (update: Partial<AuthenticationCreds>): void => {
    Object.assign(this.auth.creds, update);
    this.#areCredsDirty = true;
    if (this.#isFlushPlanned || this.#over) return;
    this.#isFlushPlanned = true;
    void this.#flushLater();
  };

  async #flushLater(): Promise<void> {
    try {
      await this.#context.clock.sleep(CREDS_AFTER_MS, this.#ended.signal);
      this.#isFlushPlanned = false;
      await this.flush();
    } catch (error) {
      // Of a session that is over, whoever owns it knows.
      if (!this.#over) this.#context.log.error({ error }, 'credentials could not be written');
    }
  }

  flush(): Promise<void> {
    return this.#save([], []);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    // Behind all that waits to be written. Why it failed was said where it did.
    await this.flush().catch(() => undefined);
    this.#end('closed');
  }

  async #get<T extends KeyType>(
    type: T,
    ids: readonly string[],
  ): Promise<{ [id: string]: SignalDataTypeMap[T] }> {
    if (this.#over) throw this.#over;
    const { accountId, deviceId, database } = this.#context;
    const { cache } = this.#options;
    const found: CachedKey[] = [];
    const missing: string[] = [];
    for (const id of ids.filter(isKeyId)) {
      const value = cache.get(deviceId, type, id);
      if (value === undefined) missing.push(id);
      else found.push({ type, id, value });
    }
    if (missing.length > 0) {
      const reading = cache.startReading(deviceId);
      try {
        const sealed = await this.#persist(() =>
          readWhatsappKeys(database, { accountId, deviceId }, type, missing),
        );
        const read = missing.map((id) => this.#open(type, id, sealed.get(id)));
        reading.keep(read);
        found.push(...read);
      } catch (error) {
        // Baileys would take it for a key that there is not, and make another one in its place.
        throw this.#end('unavailable', error);
      } finally {
        reading.end();
      }
    }
    return Object.fromEntries(
      found.flatMap(({ id, value }) => (value ? [[id, decodeKey(type, value)]] : [])),
    );
  }

  #open(type: string, id: string, sealed: Buffer | undefined): CachedKey {
    return { type, id, value: sealed ? this.#sealer.openKey(type, id, sealed) : null };
  }

  #set(data: SignalDataSet): Promise<void> {
    // Encoded now: Baileys goes on working with what it gave.
    return this.#save(encodeKeys(data), this.#repository.pending());
  }

  /** `stanzas` is emptied of what was written. */
  #save(keys: readonly CachedKey[], stanzas: DecryptedStanza[]): Promise<void> {
    return this.#turns('write', async () => {
      if (this.#over) throw this.#over;
      if (keys.length === 0 && stanzas.length === 0 && !this.#areCredsDirty) return;
      const written = [...stanzas];
      await this.#write(keys, written);
      this.#options.cache.put(this.#context.deviceId, keys);
      stanzas.splice(0, written.length);
      if (written.length > 0) this.#options.onInbox();
    });
  }

  async #write(keys: readonly CachedKey[], stanzas: readonly DecryptedStanza[]): Promise<void> {
    const creds = this.#areCredsDirty ? this.#sealer.sealCreds(this.auth.creds) : undefined;
    this.#areCredsDirty = false;
    const sealed = keys.map(({ type, id, value }) => ({
      type,
      id,
      value: value && this.#sealer.sealKey(type, id, value),
    }));
    const context = this.#context;
    try {
      await this.#persist(() =>
        write(
          context,
          (tx) => saveWhatsappKeys(tx, context.box, context, { keys: sealed, creds, stanzas }),
          { isPublic: false },
        ),
      );
    } catch (error) {
      if (creds) this.#areCredsDirty = true;
      this.#options.cache.drop(context.deviceId);
      // What no database takes, for what it says: that alone is refused, and Baileys asks for it anew.
      if (error instanceof ClarinError && error.code === 'unprocessable') throw error;
      throw this.#end(reasonOf(error), error);
    }
  }

  #clear(): Promise<void> {
    const context = this.#context;
    return this.#turns('write', async () => {
      if (this.#over) throw this.#over;
      try {
        await this.#persist(() => write(context, (tx) => clearWhatsappKeys(tx, context)));
      } catch (error) {
        throw this.#end(reasonOf(error), error);
      } finally {
        this.#options.cache.drop(context.deviceId);
      }
    });
  }

  #persist<T>(work: () => Promise<T>): Promise<T> {
    const { clock, signal } = this.#context;
    return outlastOutage(work, { clock, signal, isEnding: () => this.#isClosing });
  }

  #end(reason: OverReason, cause?: unknown): SessionOver {
    if (this.#over) return this.#over;
    const over = new SessionOver(reason, cause);
    this.#over = over;
    this.#ended.abort(over);
    this.#options.cache.drop(this.#context.deviceId);
    if (reason !== 'closed') this.#context.log.warn({ error: cause, reason }, 'session over');
    if (reason === 'lost') this.#options.onLost();
    this.#endSocket(over);
    return over;
  }

  /** Its connection begins to close before this returns: Baileys sends nothing by it any more. */
  #endSocket(over: SessionOver): void {
    void this.#socket?.end(over).catch((error: unknown) => {
      this.#context.log.warn({ error }, 'a socket did not end as it should');
    });
  }
}

function reasonOf(error: unknown): OverReason {
  if (error instanceof LeaseLost) return 'lost';
  return error instanceof ClarinError && error.code === 'not_found' ? 'gone' : 'unavailable';
}
