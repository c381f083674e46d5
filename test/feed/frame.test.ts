import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PART_BYTES_MAX } from '../../domain/change.ts';
import type { ServerMessage } from '../../domain/feed-protocol.ts';
import { encodeCommitFrames } from '../../replicator/feed/frame.ts';
import { parseSignal } from '../../replicator/feed/signal.ts';
import { commitOf } from './support.ts';

type CommitMessage = Extract<ServerMessage, { type: 'commit' }>;

const parse = (frame: Buffer): CommitMessage => JSON.parse(frame.toString()) as CommitMessage;

describe('frames of a commit', () => {
  it('[F9] hold every change once and in order, in parts within the limit', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 150_000 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(sizes, fc.string(), (lengths, id) => {
        const changes = lengths.map((length, index) => ({
          json: JSON.stringify({ index, text: 'y'.repeat(length) }),
        }));
        const frames = encodeCommitFrames({ commit: commitOf(1, 5, []), epoch: 'e', id, changes });
        const messages = frames.map(parse);
        expect(messages.flatMap((message) => message.changes)).toEqual(
          changes.map(({ json }) => JSON.parse(json)),
        );
        expect(messages.map(({ part }) => part)).toEqual(messages.map((_, index) => index));
        expect(messages.map(({ last }) => last)).toEqual(
          messages.map((_, index) => index === messages.length - 1),
        );
        expect(messages.every(({ ids }) => ids.length === 1 && ids[0] === id)).toBe(true);
        for (const frame of frames) expect(frame.length).toBeLessThan(PART_BYTES_MAX + 1_000);
      }),
      { numRuns: 60 },
    );
  });

  it('[F6] carry the texts of rows and origin as they are', () => {
    const json = '{"table":"tags","op":"insert","key":{"id":1},"row":{"value":10.00}}';
    const origin = '{"source":"api","operation_id":"a \\" b"}';
    const [frame] = encodeCommitFrames({
      commit: commitOf(1, 0x16b374d848, [], { origin, xid: 77 }),
      epoch: 'k3v9',
      id: 'a"b',
      changes: [{ json }],
    });
    const text = frame?.toString() ?? '';
    expect(text).toContain(`"changes":[${json}]`);
    expect(text).toContain(`"origin":${origin}`);
    expect(parse(frame ?? Buffer.alloc(0))).toMatchObject({
      cursor: 'k3v9.16/B374D848',
      xid: 77,
      ids: ['a"b'],
    });
  });
});

describe('a signal', () => {
  it('[F18] loses what is for us only, and keeps its type whatever it says', () => {
    const signal = parseSignal(
      '{"account_id":3,"kind":"typing","permission":"chats","type":"welcome","chat_id":1}',
    );
    expect(signal?.permission).toBe('chats');
    expect(JSON.parse(signal?.frame.toString() ?? '')).toEqual({
      type: 'signal',
      kind: 'typing',
      chat_id: 1,
    });
  });

  it('[F18] that is none is ignored', () => {
    const texts = [
      '',
      'x',
      '[]',
      'null',
      '{}',
      '{"kind":5}',
      JSON.stringify({ kind: 'x', text: 'y'.repeat(10_000) }),
    ];
    expect(texts.map(parseSignal)).toEqual(texts.map(() => undefined));
  });
});
