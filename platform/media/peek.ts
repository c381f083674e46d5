import { Readable } from 'node:stream';

export type Peeked = {
  /** The first bytes: as many as were asked for, fewer only when there are no more. */
  readonly head: Buffer;
  /** All bytes, the first ones included. Destroying it destroys the source. */
  readonly stream: Readable;
};

/**
 * Reads the first `bytes` of a stream and gives them back in front of the rest: what a file is has to be known before it
 * is stored. The source belongs to the new stream from here on. Throws what the source fails with.
 */
export async function peekHead(source: Readable, bytes: number): Promise<Peeked> {
  const iterator = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < bytes) {
    const next = await iterator.next();
    if (next.done === true) break;
    chunks.push(next.value);
    length += next.value.byteLength;
  }
  const head = Buffer.concat(chunks);
  let isHeadGiven = length === 0;
  const readNext = async (): Promise<Uint8Array | null> => {
    if (!isHeadGiven) {
      isHeadGiven = true;
      return head;
    }
    const next = await iterator.next();
    return next.done === true ? null : next.value;
  };
  // Not made of a generator: one that waits for a source which has stalled cannot be destroyed.
  const stream: Readable = new Readable({
    read: () => {
      readNext().then(
        (chunk) => void stream.push(chunk),
        (error: unknown) => stream.destroy(error instanceof Error ? error : undefined),
      );
    },
    destroy: (error, done) => {
      source.destroy();
      done(error);
    },
  });
  return { head: head.subarray(0, bytes), stream };
}
