import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { createMediaKey } from '../../../platform/media/key.ts';
import { peekHead } from '../../../platform/media/peek.ts';
import type { MediaStore, PutOptions } from '../../../platform/media/store.ts';

/** What every store does alike. */
type Subject = {
  readonly store: MediaStore;
  /** Half-stored things: temporary files, or multipart uploads that were begun and never ended. */
  readonly leftovers: () => Promise<readonly string[]>;
};

export const MIB = 1024 * 1024;
export const newKey = (): string => createMediaKey(7, randomUUID());

export function options(more: Partial<PutOptions> = {}): PutOptions {
  return { bytesMax: 100 * MIB, contentType: 'application/octet-stream', ...more };
}

export function streamOf(...chunks: Uint8Array[]): Readable {
  return Readable.from(chunks, { objectMode: false });
}

export async function readAll(
  store: MediaStore,
  key: string,
  range?: { start: number; end: number },
): Promise<{ bytes: Buffer; size: number } | undefined> {
  const got = await store.get(key, range === undefined ? {} : { range });
  return got && { bytes: await buffer(got.stream), size: got.size };
}

const BAD_KEYS = [
  '',
  '7',
  '7/',
  '/etc/passwd',
  '7/../8/0b6f3c1e-0000-4000-8000-000000000000',
  '../7/0b6f3c1e-0000-4000-8000-000000000000',
  '07/0b6f3c1e-0000-4000-8000-000000000000',
  '-7/0b6f3c1e-0000-4000-8000-000000000000',
  '7/0b6f3c1e-0000-4000-8000-000000000000/x',
  '7/0b6f3c1e-0000-4000-8000-000000000000\n',
  '7/0b6f3c1e-0000-4000-8000-00000000000\0',
  '7/0B6F3C1E-0000-4000-8000-000000000000',
  '7\\0b6f3c1e-0000-4000-8000-000000000000',
  '.incoming/0b6f3c1e-0000-4000-8000-000000000000',
];

/** Registers the tests; `subject` is asked when they run. */
export function itIsAMediaStore(subject: () => Subject): void {
  it('gives back what was put, with its size and its digest', async () => {
    const { store } = subject();
    const key = newKey();
    const bytes = randomBytes(200_000);
    const stored = await store.put(
      key,
      streamOf(bytes.subarray(0, 70_001), bytes.subarray(70_001)),
      options(),
    );
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(stored).toEqual({ size: 200_000, sha256 });
    const got = await readAll(store, key);
    expect(got?.size).toBe(200_000);
    expect(got?.bytes.equals(bytes)).toBe(true);
  });

  it('keeps a file without a byte', async () => {
    const { store } = subject();
    const key = newKey();
    expect(await store.put(key, streamOf(), options())).toMatchObject({ size: 0 });
    expect(await readAll(store, key)).toEqual({ bytes: Buffer.alloc(0), size: 0 });
  });

  it('replaces what a key held, whole', async () => {
    const { store } = subject();
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('a longer text')), options());
    await store.put(key, streamOf(Buffer.from('short')), options());
    expect(await readAll(store, key)).toEqual({ bytes: Buffer.from('short'), size: 5 });
  });

  it('gives a range, and of one that ends beyond the file what there is', async () => {
    const { store } = subject();
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('0123456789')), options());
    const part = async (start: number, end: number) => {
      const got = await readAll(store, key, { start, end });
      return `${got?.bytes.toString()} of ${got?.size}`;
    };
    expect(await part(0, 1)).toBe('01 of 10');
    expect(await part(3, 5)).toBe('345 of 10');
    expect(await part(9, 9)).toBe('9 of 10');
    expect(await part(8, 99)).toBe('89 of 10');
  });

  it('refuses a range that is none of this file', async () => {
    const { store } = subject();
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('0123456789')), options());
    for (const [start, end] of [
      [10, 12],
      [5, 4],
      [-1, 3],
      [0.5, 3],
    ] as const) {
      await expect(store.get(key, { range: { start, end } })).rejects.toMatchObject({
        code: 'internal',
      });
    }
  });

  it('has nothing under a key that was not put', async () => {
    expect(await subject().store.get(newKey())).toBeUndefined();
    expect(await subject().store.get(newKey(), { range: { start: 0, end: 1 } })).toBeUndefined();
  });

  it('deletes, and deletes again', async () => {
    const { store } = subject();
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('gone soon')), options());
    await store.delete(key);
    expect(await store.get(key)).toBeUndefined();
    await store.delete(key);
    await store.delete(newKey());
  });

  it.each(BAD_KEYS)('takes no key but its own: %j', async (key) => {
    const { store } = subject();
    const refused = { code: 'internal', message: 'this is not a key of the media store' };
    await expect(store.put(key, streamOf(Buffer.from('x')), options())).rejects.toMatchObject(
      refused,
    );
    await expect(store.get(key)).rejects.toMatchObject(refused);
    await expect(store.delete(key)).rejects.toMatchObject(refused);
  });

  it('takes a file of exactly the limit', async () => {
    const { store } = subject();
    const put = store.put(newKey(), streamOf(Buffer.alloc(1_000)), options({ bytesMax: 1_000 }));
    expect(await put).toMatchObject({ size: 1_000 });
  });

  it.each([
    ['small', 1_000],
    ['of several parts', 11 * MIB],
  ])('refuses a file beyond the limit and leaves nothing: %s', async (_, bytesMax) => {
    const { store, leftovers } = subject();
    const key = newKey();
    const source = Readable.from(chunksOf(bytesMax + 1), { objectMode: false });
    await expect(store.put(key, source, options({ bytesMax }))).rejects.toMatchObject({
      code: 'too_large',
      details: { bytes_max: bytesMax },
    });
    expect(await store.get(key)).toBeUndefined();
    expect(await leftovers()).toEqual([]);
    expect(source.destroyed).toBe(true);
  });

  it.each([
    ['at once', 0],
    ['in the middle', 11 * MIB],
  ])('passes the fault of its source on and leaves nothing: %s', async (_, after) => {
    const { store, leftovers } = subject();
    const key = newKey();
    const fault = new Error('the line was cut');
    const source = Readable.from(failingAfter(after, fault), { objectMode: false });
    await expect(store.put(key, source, options())).rejects.toBe(fault);
    expect(await store.get(key)).toBeUndefined();
    expect(await leftovers()).toEqual([]);
  });

  it('does not take what a caller left half-way for a whole file', async () => {
    const { store, leftovers } = subject();
    const key = newKey();
    const source = new Readable({ read: () => undefined });
    source.push(Buffer.alloc(1_000));
    const putting = store.put(key, source, options());
    source.destroy();
    await expect(putting).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    expect(await store.get(key)).toBeUndefined();
    expect(await leftovers()).toEqual([]);
  });

  it.each([
    ['at the beginning', 0],
    ['after some parts', 11 * MIB],
  ])(
    'stops while it waits for a source that has stalled, and leaves nothing: %s',
    async (_, bytes) => {
      const { store, leftovers } = subject();
      const key = newKey();
      const stopping = new AbortController();
      const reason = new Error('the caller hung up');
      // Made of a generator that never wakes up, it cannot be destroyed either.
      async function* stalling() {
        yield* chunksOf(bytes);
        await new Promise(() => undefined);
      }
      const source = Readable.from(stalling(), { objectMode: false });
      whenWaiting(source, bytes, () => stopping.abort(reason));
      const put = store.put(key, source, options({ signal: stopping.signal }));
      await expect(put).rejects.toBe(reason);
      expect(await store.get(key)).toBeUndefined();
      expect(await leftovers()).toEqual([]);
      expect(source.destroyed).toBe(true);
    },
  );

  it('does not begin what was called off before', async () => {
    const { store, leftovers } = subject();
    const key = newKey();
    const reason = new Error('too late');
    const source = streamOf(Buffer.from('x'));
    const put = store.put(key, source, options({ signal: AbortSignal.abort(reason) }));
    await expect(put).rejects.toBe(reason);
    expect(await store.get(key)).toBeUndefined();
    expect(await leftovers()).toEqual([]);
  });

  it('shows nothing of a file before all of it is there', async () => {
    const { store } = subject();
    const key = newKey();
    const seen: unknown[] = [];
    async function* watching() {
      for await (const chunk of chunksOf(11 * MIB)) {
        yield chunk;
        seen.push(await store.get(key));
      }
    }
    await store.put(key, Readable.from(watching(), { objectMode: false }), options());
    expect(new Set(seen)).toEqual(new Set([undefined]));
    expect((await readAll(store, key))?.size).toBe(11 * MIB);
  });

  it('puts, reads and deletes many at a time', async () => {
    const { store, leftovers } = subject();
    const files = Array.from({ length: 20 }, (_, i) => ({
      key: newKey(),
      bytes: Buffer.alloc(1_000, i),
    }));
    await Promise.all(files.map(({ key, bytes }) => store.put(key, streamOf(bytes), options())));
    const read = await Promise.all(files.map(({ key }) => readAll(store, key)));
    expect(read.every((got, i) => got?.bytes.equals(files[i]!.bytes))).toBe(true);
    await Promise.all(files.map(({ key }) => store.delete(key)));
    expect(await Promise.all(files.map(({ key }) => store.get(key)))).toEqual(
      files.map(() => undefined),
    );
    expect(await leftovers()).toEqual([]);
  });

  it('reads what was peeked at, and stops though that has stalled', async () => {
    const { store, leftovers } = subject();
    const [key, other] = [newKey(), newKey()];
    const bytes = randomBytes(100_000);
    const peeked = await peekHead(streamOf(bytes.subarray(0, 10), bytes.subarray(10)), 4_096);
    await store.put(key, peeked.stream, options());
    expect((await readAll(store, key))?.bytes.equals(bytes)).toBe(true);
    const stalled = new Readable({ read: () => undefined });
    stalled.push(bytes);
    const stopping = new AbortController();
    const { stream } = await peekHead(stalled, 10);
    const put = store.put(other, stream, options({ signal: stopping.signal }));
    const reason = new Error('the caller hung up');
    stopping.abort(reason);
    await expect(put).rejects.toBe(reason);
    expect(stalled.destroyed).toBe(true);
    expect(await leftovers()).toEqual([]);
  });

  it('is healthy', async () => {
    expect(await subject().store.check()).toMatchObject({ name: 'media', ok: true });
  });
}

/** So many bytes, a MiB at a time. */
export async function* chunksOf(bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0; left -= MIB)
    yield Buffer.alloc(Math.min(left, MIB), left & 0xff);
}

/** Calls back once its reader has had so many bytes and has asked, in vain, for more. */
function whenWaiting(source: Readable, bytes: number, then: () => void): void {
  const iterate = source[Symbol.asyncIterator].bind(source);
  source[Symbol.asyncIterator] = () => {
    const iterator = iterate();
    const ask = iterator.next.bind(iterator);
    let read = 0;
    iterator.next = async () => {
      if (read === bytes) setImmediate(then);
      const next = await ask();
      if (next.done !== true) read += (next.value as Buffer).byteLength;
      return next;
    };
    return iterator;
  };
}

async function* failingAfter(bytes: number, fault: Error): AsyncGenerator<Buffer> {
  yield* chunksOf(bytes);
  throw fault;
}
