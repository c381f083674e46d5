import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { peekHead } from '../../../platform/media/peek.ts';
import { eventually } from '../../support/eventually.ts';

const streamOf = (...texts: string[]): Readable =>
  Readable.from(
    texts.map((text) => Buffer.from(text)),
    { objectMode: false },
  );

describe('peeking at a stream', () => {
  it.each([
    [['abcdef'], 3, 'abc'],
    [['a', 'b', 'c', 'd', 'ef'], 3, 'abc'],
    [['abc', 'def'], 3, 'abc'],
    [['abc', 'def'], 6, 'abcdef'],
    [['abc', 'def'], 100, 'abcdef'],
    [['abc', 'def'], 0, ''],
  ])('gives the first bytes and keeps all: %j, %i', async (texts, bytes, head) => {
    const peeked = await peekHead(streamOf(...texts), bytes);
    expect(peeked.head.toString()).toBe(head);
    expect((await buffer(peeked.stream)).toString()).toBe('abcdef');
  });

  it('finds nothing in an empty one', async () => {
    const peeked = await peekHead(streamOf(), 10);
    expect(peeked.head).toHaveLength(0);
    expect(await buffer(peeked.stream)).toHaveLength(0);
  });

  it('fails with what the source fails with, before and after', async () => {
    const fault = new Error('cut');
    const early = new Readable({ read: () => undefined });
    const peeking = peekHead(early, 10);
    early.destroy(fault);
    await expect(peeking).rejects.toBe(fault);
    const late = new Readable({ read: () => undefined });
    late.push('0123456789');
    const { stream } = await peekHead(late, 10);
    const reading = buffer(stream);
    late.destroy(fault);
    await expect(reading).rejects.toBe(fault);
  });

  it('survives a source that fails while nobody reads', async () => {
    const source = new Readable({ read: () => undefined });
    source.push('0123456789');
    const { stream } = await peekHead(source, 10);
    const fault = new Error('cut');
    source.destroy(fault);
    await eventually(() => source.closed, { says: 'the source is closed' });
    await expect(buffer(stream)).rejects.toBe(fault);
  });

  it('lets the source go with the stream, read or not, stalled or not', async () => {
    const source = new Readable({ read: () => undefined });
    source.push('0123456789');
    const { stream } = await peekHead(source, 5);
    stream.destroy();
    await eventually(() => source.destroyed && stream.closed, { says: 'both are closed' });
    const stalled = new Readable({ read: () => undefined });
    stalled.push('0123456789');
    const second = await peekHead(stalled, 5);
    second.stream.resume();
    second.stream.destroy();
    await eventually(() => stalled.destroyed && second.stream.closed, { says: 'both are closed' });
  });
});
