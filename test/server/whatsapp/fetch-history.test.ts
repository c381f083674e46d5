import { createCipheriv, createHmac } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { getMediaKeys, proto } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import {
  fetchHistory,
  HistoryTooLarge,
  openHistory,
} from '../../../server/whatsapp/fetch-history.ts';

const mediaKey = Buffer.alloc(32, 4);
const { signal } = new AbortController();

/** As a phone puts a part where its devices fetch it. */
async function seal(bytes: Uint8Array): Promise<Buffer> {
  const { cipherKey, iv, macKey } = await getMediaKeys(mediaKey, 'md-msg-hist');
  const cipher = createCipheriv('aes-256-cbc', cipherKey, iv);
  const body = Buffer.concat([cipher.update(bytes), cipher.final()]);
  const mac = createHmac('sha256', macKey ?? '')
    .update(iv)
    .update(body)
    .digest();
  return Buffer.concat([body, mac.subarray(0, 10)]);
}

describe('a part of history', () => {
  it('is opened with its key, and only as it was sealed', async () => {
    const sealed = await seal(Buffer.from('packed'));
    expect(await openHistory(sealed, mediaKey)).toEqual(Buffer.from('packed'));
    const altered = Buffer.from(sealed);
    altered[0] = (altered[0] ?? 0) ^ 1;
    await expect(openHistory(altered, mediaKey)).rejects.toThrow('not authentic');
    await expect(openHistory(sealed, Buffer.alloc(32, 5))).rejects.toThrow('not authentic');
    await expect(openHistory(Buffer.alloc(3), mediaKey)).rejects.toThrow('without an end');
  });

  it('that is small is in its notification', async () => {
    const bytes = proto.HistorySync.encode({ syncType: 0, progress: 40 }).finish();
    const initialHistBootstrapInlinePayload = deflateSync(bytes);
    expect(await fetchHistory({ initialHistBootstrapInlinePayload }, signal)).toMatchObject({
      progress: 40,
    });
  });

  it('that is nowhere, or is no history, is an error', async () => {
    await expect(fetchHistory({}, signal)).rejects.toThrow('nowhere');
    await expect(fetchHistory({ directPath: 'elsewhere', mediaKey }, signal)).rejects.toThrow(
      'nowhere',
    );
    const initialHistBootstrapInlinePayload = Buffer.from('not packed');
    await expect(fetchHistory({ initialHistBootstrapInlinePayload }, signal)).rejects.toThrow(
      'incorrect header check',
    );
  });

  it.each([
    ['decoded', 'an empty conversation', Buffer.from([0x12, 0x00])],
    // Tag and length of a conversation, of an entry in it, of its message, and two numbers of that.
    ['decoded', 'a message', Buffer.from('1208120612040a02180a', 'hex').subarray(0, 10)],
    ['unpacked', 'text', Buffer.from([0x0a, 0x01, 0x41])],
  ])('that would be more than a process has is not %s: full of %s', async (what, _, part) => {
    const bytes = Buffer.alloc((what === 'unpacked' ? 257 : 200) << 20, part);
    const initialHistBootstrapInlinePayload = deflateSync(bytes);
    expect(initialHistBootstrapInlinePayload.length).toBeLessThan(2 << 20);
    const before = process.memoryUsage().rss;
    await expect(fetchHistory({ initialHistBootstrapInlinePayload }, signal)).rejects.toThrow(
      HistoryTooLarge,
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(1_500 << 20);
  });
});
