import { AsyncLocalStorage } from 'node:async_hooks';
import type { SignalKeyStoreWithTransaction } from '@whiskeysockets/baileys';
import type { Clock } from '../clock.ts';

type Release = () => void;
/** Of one transaction, by the ratchet's id: what is taken, or waited for. */
type Held = Map<string, Promise<Release>>;

/** Two transactions that wait for each other go on after this as if there were no locks. */
const WAIT_MS = 5_000;

/**
 * Baileys' transactions are alone by a name: who sends has his own number, who decrypts has the sender's. Both read the
 * ratchet of the same person at the same time, and the later commit undoes the step of the earlier one: a message is
 * sent with a key that was used, and cannot be read over there, or one that came is taken twice. So a transaction that
 * reads a ratchet has it to itself until it has committed.
 *
 * Changes the key store of a socket in place: all of Baileys uses that one.
 */
export function lockSessions(keys: SignalKeyStoreWithTransaction, clock: Clock): void {
  const context = new AsyncLocalStorage<Held>();
  const take = createLocks(clock);
  const own = { get: keys.get.bind(keys), transaction: keys.transaction.bind(keys) };

  keys.get = async (type, ids) => {
    const held = type === 'session' && keys.isInTransaction() ? context.getStore() : undefined;
    if (held)
      await Promise.all(
        ids.map((id) => {
          const lock = held.get(id) ?? take(id);
          held.set(id, lock);
          return lock;
        }),
      );
    return own.get(type, ids);
  };
  keys.transaction = async (work, name) => {
    if (keys.isInTransaction()) return own.transaction(work, name);
    const held: Held = new Map();
    try {
      return await context.run(held, () => own.transaction(work, name));
    } finally {
      for (const lock of held.values()) void lock.then((release) => release());
    }
  };
}

/** Gives each id to one at a time, in the order in which they asked. */
function createLocks(clock: Clock): (id: string) => Promise<Release> {
  /** Until when an id is taken. */
  const taken = new Map<string, Promise<void>>();
  return async (id) => {
    const before = taken.get(id);
    let release: Release = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const until = Promise.all([before, released]).then(() => undefined);
    taken.set(id, until);
    void until.then(() => {
      if (taken.get(id) === until) taken.delete(id);
    });
    if (before) await within(before, clock);
    return release;
  };
}

async function within(before: Promise<void>, clock: Clock): Promise<void> {
  const waiting = new AbortController();
  const tooLong = clock.sleep(WAIT_MS, waiting.signal).catch(() => undefined);
  await Promise.race([before, tooLong]);
  waiting.abort();
}
