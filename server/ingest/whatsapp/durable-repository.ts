import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import {
  DEFAULT_CONNECTION_CONFIG,
  type BinaryNode,
  type SignalKeyStore,
  type SignalKeyStoreWithTransaction,
  type SocketConfig,
  type WASocket,
} from '@whiskeysockets/baileys';
import type { DecryptedStanza } from '../../commands/whatsapp-inbox.ts';
import type { Clock } from '../clock.ts';
import { lockSessions } from './session-locks.ts';
import { createTurns } from './turns.ts';

/**
 * Baileys decrypts a stanza in a transaction of its key store, tells WhatsApp that the message has come, and only then
 * emits it: a crash in between, or a socket that closes while its events are held back, would lose it, as WhatsApp does
 * not send it again. Here what was decrypted is part of that transaction:
 *
 *   CB:message   `watch` remembers which stanza a ciphertext is of
 *   decrypt*     transaction { Baileys decrypts; the plaintext goes to the list of this decryption }
 *   commit       the store's `set` writes ratchet and list as one, and empties the list
 *   receipt      leaves after that
 *
 * Every decryption that succeeds stores its ratchet (`storeRecord` of libsignal 6.0.0, `storeSenderKey` of Baileys
 * 7.0.0-rc14), so that there is a commit. Should a version of them not do so, `write` is called before the receipt all
 * the same.
 */
export type DurableRepository = {
  readonly makeSignalRepository: SocketConfig['makeSignalRepository'];
  /** For the socket that uses it, before it connects. */
  watch(socket: WASocket): void;
  /** What was decrypted in the transaction that calls this. Whoever has committed it takes it out. */
  pending(): DecryptedStanza[];
};

/** `write`: what was decrypted and is in no commit. */
export function createDurableRepository(
  clock: Clock,
  write: (stanzas: DecryptedStanza[]) => Promise<void>,
): DurableRepository {
  // One for each socket, not one for all: libsignal runs jobs of several sockets in the context of one of them.
  const context = new AsyncLocalStorage<DecryptedStanza[]>();
  const attrsOf = new WeakMap<Uint8Array, BinaryNode['attrs']>();

  /** One decryption: all or nothing. */
  const durable = async (
    keys: SignalKeyStoreWithTransaction,
    { ciphertext, key }: { ciphertext: Uint8Array; key: string },
    decrypt: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> => {
    const stanzas: DecryptedStanza[] = [];
    const inTransaction = async (): Promise<Uint8Array> => {
      const attrs = attrsOf.get(ciphertext);
      // It would be lost with the receipt.
      if (!attrs) throw new Error('a ciphertext of no stanza that came by this socket');
      const plain = await decrypt();
      stanzas.push({ key: randomUUID(), attrs: { ...attrs }, plain: Buffer.from(plain) });
      return plain;
    };
    const plain = await context.run(stanzas, () => keys.transaction(inTransaction, key));
    if (stanzas.length > 0) await write(stanzas);
    return plain;
  };

  return {
    pending: () => context.getStore() ?? [],
    watch: (socket) => {
      socket.ws.prependListener('CB:message', ({ attrs, content }: BinaryNode) => {
        if (!Array.isArray(content)) return;
        for (const child of content)
          if (child.tag === 'enc' && child.content instanceof Uint8Array)
            attrsOf.set(child.content, attrs);
      });
    },
    makeSignalRepository: (auth, ...rest) => {
      const theirs = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(auth, ...rest);
      const keys = withTransactions(auth.keys);
      lockSessions(keys, clock);
      /** In a transaction by that jid, as Baileys would open it, and in it alone with the address. */
      const inTurn = async <T>(jid: string, work: () => Promise<T>): Promise<T> => {
        // Reads its ratchet, and waits for it, before it makes others wait.
        await theirs.validateSession(jid);
        return addressTurns(theirs.jidToSignalProtocolAddress(jid), work);
      };
      return {
        ...theirs,
        decryptMessage: (options) =>
          durable(keys, { ciphertext: options.ciphertext, key: options.jid }, () =>
            inTurn(options.jid, () => theirs.decryptMessage(options)),
          ),
        decryptGroupMessage: (options) =>
          durable(keys, { ciphertext: options.msg, key: options.group }, () =>
            theirs.decryptGroupMessage(options),
          ),
        encryptMessage: (options) =>
          keys.transaction(
            () => inTurn(options.jid, () => theirs.encryptMessage(options)),
            options.jid,
          ),
        injectE2ESession: (options) =>
          keys.transaction(
            () => inTurn(options.jid, () => theirs.injectE2ESession(options)),
            options.jid,
          ),
      };
    },
  };
}

/**
 * libsignal queues its jobs by the other side's address, for the whole process, and runs what waits there in the async
 * context of whoever came first (`queue_job.js`). In a context of somebody else's Baileys finds no transaction, or a
 * wrong one, and writes the ratchet apart from what it decrypted: two of our devices that hear from one person at the
 * same moment are enough. So each waits for its turn before libsignal makes it wait, for as long as it would.
 */
const addressTurns = createTurns();

function withTransactions(
  keys: SignalKeyStore | SignalKeyStoreWithTransaction,
): SignalKeyStoreWithTransaction {
  if ('transaction' in keys) return keys;
  throw new Error('the key store of a socket has transactions');
}
