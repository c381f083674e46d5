import asyncHooks, { AsyncLocalStorage } from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';
import { addTransactionCapability, type SignalDataSet } from '@whiskeysockets/baileys';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  SharedStorage,
  shareAsyncStorage,
} from '../../../server/ingest/whatsapp/one-async-storage.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('storages that share one', () => {
  const own = asyncHooks.AsyncLocalStorage;
  beforeAll(() => shareAsyncStorage());
  afterAll(() => {
    asyncHooks.AsyncLocalStorage = own;
    syncBuiltinESMExports();
  });

  test('are what everybody makes from then on, also who imported the class before', () => {
    expect(new AsyncLocalStorage()).toBeInstanceOf(SharedStorage);
  });

  test('hold each its own, through awaits, and give back what was there before', async () => {
    const [one, two] = [new SharedStorage<string>(), new SharedStorage<number>()];
    const seen: unknown[] = [];
    const look = (): void => void seen.push([one.getStore(), two.getStore()]);
    await one.run('a', async () => {
      await turn();
      await two.run(1, async () => {
        await turn();
        look();
        await one.run('b', async () => {
          await turn();
          look();
        });
        one.exit(look);
      });
      look();
    });
    look();
    expect(seen).toEqual([
      ['a', 1],
      ['b', 1],
      [undefined, 1],
      ['a', undefined],
      [undefined, undefined],
    ]);
  });

  test('keep apart what goes on at the same time', async () => {
    const storage = new SharedStorage<number>();
    const seen = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        storage.run(n, async () => {
          for (let k = 0; k < n % 5; k++) await turn();
          return storage.getStore();
        }),
      ),
    );
    expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  test('carry the transactions of Baileys, of each socket its own', async () => {
    const commits: SignalDataSet[] = [];
    const storeOf = () =>
      addTransactionCapability(
        { get: async () => ({}), set: async (data) => void commits.push(data) },
        pino({ level: 'silent' }),
        { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
      );
    const [first, second] = [storeOf(), storeOf()];
    await first.transaction(async () => {
      await first.set({ session: { a: Buffer.from('1') } });
      expect([first.isInTransaction(), second.isInTransaction()]).toEqual([true, false]);
      await turn();
      await first.set({ 'lid-mapping': { b: 'c' } });
      expect(commits).toEqual([]);
    }, 'name');
    expect(commits).toEqual([{ session: { a: Buffer.from('1') }, 'lid-mapping': { b: 'c' } }]);
  });
});
