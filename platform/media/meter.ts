import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { ClarinError } from '../../domain/errors.ts';

/** What was stored: bytes, and their SHA-256 in lower-case hexadecimal. */
export type Stored = { readonly size: number; readonly sha256: string };

export type Meter = {
  /** The source's bytes, once; reading fails with `fault.error`. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Why reading failed: the source's own error, `too_large`, or the signal's reason. Undefined while it did not. */
  readonly fault: { readonly error: unknown } | undefined;
  /** Of what was read so far; once. */
  measure(): Stored;
};

type Options = { readonly bytesMax: number; readonly signal?: AbortSignal | undefined };

/**
 * Counts and hashes a stream while a store reads it, and ends it at the limit, so that no store has to. A fault of the
 * reading side is kept apart: it is the caller's, and whatever else goes wrong is the store's.
 */
export function meter(source: Readable, { bytesMax, signal }: Options): Meter {
  const hash = createHash('sha256');
  let size = 0;
  let fault: Meter['fault'];
  // The store may have something to do before it reads, and an error that nobody hears ends the process.
  source.on('error', () => undefined);
  const iterator = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  const aborting = watchAbort(signal);

  const readNext = async (): Promise<Uint8Array | undefined> => {
    try {
      signal?.throwIfAborted();
      // Not by destroying the source alone: one that is made of a generator only ends when that wakes up.
      const next = await aborting.before(iterator.next());
      if (next.done === true) return undefined;
      size += next.value.byteLength;
      if (size <= bytesMax) return next.value;
      const details = { bytes_max: bytesMax };
      throw new ClarinError('too_large', `a file may have ${bytesMax} bytes`, { details });
    } catch (error) {
      fault = { error };
      throw error;
    }
  };

  async function* read(): AsyncGenerator<Uint8Array> {
    let isWhole = false;
    try {
      for (let chunk = await readNext(); chunk !== undefined; chunk = await readNext()) {
        hash.update(chunk);
        yield chunk;
      }
      isWhole = true;
    } finally {
      aborting.forget();
      if (!isWhole) source.destroy();
    }
  }
  return {
    bytes: read(),
    get fault() {
      return fault;
    },
    measure: () => ({ size, sha256: hash.digest('hex') }),
  };
}

type Aborting = {
  /** Resolves as the work does; rejects with the signal's reason, when that comes first. */
  before<T>(work: Promise<T>): Promise<T>;
  forget(): void;
};

/**
 * Not by Promise.race with one promise that rejects when the signal comes: that promise would keep the outcome of every
 * race it was in, which is every chunk of the file. https://github.com/nodejs/node/issues/17469
 */
function watchAbort(signal: AbortSignal | undefined): Aborting {
  let reject: (reason: unknown) => void = () => undefined;
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    before: (work) =>
      new Promise((resolve, rejectThis) => {
        reject = rejectThis;
        work.then(resolve, rejectThis);
      }),
    forget: () => signal?.removeEventListener('abort', onAbort),
  };
}
