import { createCipheriv, createHmac } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { getMediaKeys, proto } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { fetchHistory, openHistory } from '../../../server/whatsapp/fetch-history.ts';

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
});
