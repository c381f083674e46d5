import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKeyCache, type KeyReading } from '../../server/ingest/whatsapp/key-cache.ts';

const bytes = (text: string) => Buffer.from(text);
const key = (id: string, value: string | null, type = 'lid-mapping') => ({
  type,
  id,
  value: value === null ? null : bytes(value),
});
const still = { elapsed: () => 0 };

describe('what is remembered of keys', () => {
  test('is what was written last, a key that is not there included, for each device by itself', () => {
    const cache = createKeyCache(still);
    cache.put(1, [key('a', 'one'), key('b', null)]);
    cache.put(2, [key('a', 'two')]);
    expect(cache.get(1, 'lid-mapping', 'a')).toEqual(bytes('one'));
    expect(cache.get(1, 'lid-mapping', 'b')).toBeNull();
    expect(cache.get(1, 'lid-mapping', 'c')).toBeUndefined();
    expect(cache.get(1, 'tctoken', 'a')).toBeUndefined();
    cache.drop(1);
    expect(cache.get(1, 'lid-mapping', 'a')).toBeUndefined();
    expect(cache.get(2, 'lid-mapping', 'a')).toEqual(bytes('two'));
    cache.drop(2);
    expect(cache.stats()).toEqual({ entries: 0, bytes: 0 });
  });

  test('of a ratchet is over after five minutes, of other keys not', () => {
    let now = 0;
    const cache = createKeyCache({ elapsed: () => now });
    cache.put(1, [key('a', 'ratchet', 'session'), key('a', 'mapping')]);
    now = 5 * 60_000 - 1;
    expect(cache.get(1, 'session', 'a')).toEqual(bytes('ratchet'));
    now = 5 * 60_000;
    expect(cache.get(1, 'session', 'a')).toBeUndefined();
    expect(cache.get(1, 'lid-mapping', 'a')).toEqual(bytes('mapping'));
    expect(cache.stats().entries).toBe(1);
  });

  test('goes when there is too much of it: first what was used longest ago', () => {
    const cache = createKeyCache(still, { entriesMax: 3, bytesMax: 1 << 20 });
    for (const id of ['a', 'b', 'c']) cache.put(1, [key(id, id)]);
    cache.get(1, 'lid-mapping', 'a');
    cache.put(2, [key('d', 'd')]);
    expect(cache.get(1, 'lid-mapping', 'b')).toBeUndefined();
    for (const id of ['a', 'c']) expect(cache.get(1, 'lid-mapping', id)).toEqual(bytes(id));
    expect(cache.get(2, 'lid-mapping', 'd')).toEqual(bytes('d'));
  });

  test('is never more than its bounds, whatever is done with it, and counts what it holds', () => {
    const limits = { entriesMax: 20, bytesMax: 8_000 };
    const step = fc.record({
      device: fc.integer({ min: 1, max: 4 }),
      id: fc.integer({ min: 0, max: 30 }).map(String),
      size: fc.option(fc.integer({ min: 0, max: 9_000 }), { freq: 4 }),
      does: fc.constantFrom('put' as const, 'put' as const, 'get' as const, 'drop' as const),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const cache = createKeyCache(still, limits);
        const known = new Map<string, number | null>();
        for (const { device, id, size, does } of steps) {
          const name = `${device}/${id}`;
          if (does === 'drop') cache.drop(device);
          if (does === 'put') {
            cache.put(device, [
              { type: 'tctoken', id, value: size === null ? null : Buffer.alloc(size) },
            ]);
            known.set(name, size);
          }
          const found = cache.get(device, 'tctoken', id);
          // Not remembered, or the newest.
          if (found !== undefined) expect(found?.length ?? null).toBe(known.get(name) ?? null);
          if (does === 'drop') expect(found).toBeUndefined();
          const { entries, bytes: held } = cache.stats();
          expect(entries).toBeLessThanOrEqual(limits.entriesMax);
          expect(held).toBeLessThanOrEqual(limits.bytesMax);
          expect(held >= entries * 200).toBe(true);
        }
        for (const device of [1, 2, 3, 4]) cache.drop(device);
        expect(cache.stats()).toEqual({ entries: 0, bytes: 0 });
      }),
    );
  });

  test('does not grow by keys that are made by the hundred and read once', () => {
    const cache = createKeyCache(still);
    cache.put(
      1,
      Array.from({ length: 812 }, (_, id) => key(String(id), 'x', 'pre-key')),
    );
    expect(cache.stats().entries).toBe(0);
  });
});

describe('what was read', () => {
  const readWhile = (meanwhile: (cache: ReturnType<typeof createKeyCache>) => void) => {
    const cache = createKeyCache(still);
    const reading: KeyReading = cache.startReading(1);
    meanwhile(cache);
    reading.keep([key('a', 'as it was'), key('b', 'as it is')]);
    return cache;
  };

  test('is remembered', () => {
    const cache = readWhile(() => undefined);
    expect(cache.get(1, 'lid-mapping', 'a')).toEqual(bytes('as it was'));
  });

  test('before a commit does not come in the place of what was committed', () => {
    const cache = readWhile((during) => during.put(1, [key('a', 'new')]));
    expect(cache.get(1, 'lid-mapping', 'a')).toEqual(bytes('new'));
    expect(cache.get(1, 'lid-mapping', 'b')).toEqual(bytes('as it is'));
    const gone = readWhile((during) => during.put(1, [key('a', null)]));
    expect(gone.get(1, 'lid-mapping', 'a')).toBeNull();
  });

  test('before the device was dropped is not remembered, nor what is kept twice', () => {
    const cache = readWhile((during) => during.drop(1));
    expect(cache.stats()).toEqual({ entries: 0, bytes: 0 });
    const reading = cache.startReading(1);
    reading.end();
    reading.keep([key('a', 'late')]);
    expect(cache.stats().entries).toBe(0);
  });
});
