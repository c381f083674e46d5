import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MediaConfig } from '../../../platform/config.ts';
import { createMediaStore, type MediaStore } from '../../../platform/media/store.ts';
import { ACCESS_KEY, REGION, startTestS3, type TestS3 } from './s3-server.ts';
import {
  chunksOf,
  itIsAMediaStore,
  MIB,
  newKey,
  options,
  readAll,
  streamOf,
} from './store-contract.ts';

// Megabytes, signed and hashed on both sides, on a machine that has other work.
vi.setConfig({ testTimeout: 30_000 });

let s3: TestS3;
let store: MediaStore;

type S3Config = Extract<MediaConfig, { store: 's3' }>;

const open = (more: Partial<S3Config> = {}): Promise<MediaStore> =>
  createMediaStore({
    store: 's3',
    endpoint: s3.endpoint,
    region: REGION,
    bucket: s3.bucket,
    accessKeyId: ACCESS_KEY,
    secretAccessKey: ACCESS_KEY,
    forcePathStyle: true,
    bytesMax: MIB,
    ...more,
  });

const isPart = (url: string | undefined): boolean => /[?&]partNumber=/.test(url ?? '');

beforeAll(async () => {
  s3 = await startTestS3();
  store = await open();
});
afterEach(() => {
  s3.intercept = undefined;
});
afterAll(() => s3.stop());

describe('a store in a bucket', () => {
  itIsAMediaStore(() => ({ store, leftovers: () => s3.uploads() }));

  it('sends a small file in one request and a large one in parts, under its key', async () => {
    const [small, large] = [newKey(), newKey()];
    s3.requests.length = 0;
    await store.put(small, streamOf(Buffer.from('x')), options());
    expect(s3.requests).toEqual([expect.stringContaining(`PUT /media/${small}`)]);
    s3.requests.length = 0;
    await store.put(large, Readable.from(chunksOf(12 * MIB), { objectMode: false }), options());
    expect(s3.requests.filter(isPart)).toHaveLength(3);
    expect(await readAll(store, large)).toMatchObject({ size: 12 * MIB });
  });

  it('tells the bucket the content type', async () => {
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('x')), options({ contentType: 'image/png' }));
    let type: string | undefined;
    s3.intercept = (_, response) => {
      response.on('finish', () => (type = String(response.getHeader('content-type'))));
      return false;
    };
    await readAll(store, key);
    expect(type).toBe('image/png');
  });

  it('holds no more than the parts on their way and one that fills', async () => {
    let givenBytes = 0;
    let sentBytes = 0;
    let heldBytesMax = 0;
    async function* counted() {
      for await (const chunk of chunksOf(30 * MIB)) {
        givenBytes += chunk.byteLength;
        heldBytesMax = Math.max(heldBytesMax, givenBytes - sentBytes);
        yield chunk;
      }
    }
    s3.intercept = (request, response) => {
      if (isPart(request.url)) response.on('finish', () => (sentBytes += 5 * MIB));
      return false;
    };
    await store.put(newKey(), Readable.from(counted(), { objectMode: false }), options());
    expect(heldBytesMax).toBeGreaterThan(5 * MIB);
    expect(heldBytesMax).toBeLessThanOrEqual(18 * MIB);
  });

  it('tries a part again that the server could not take', async () => {
    let refused = 0;
    s3.intercept = (request, response) => {
      if (!isPart(request.url) || refused > 0) return false;
      refused += 1;
      request.resume();
      response.writeHead(503).end();
      return true;
    };
    const key = newKey();
    await store.put(key, Readable.from(chunksOf(11 * MIB), { objectMode: false }), options());
    expect(refused).toBe(1);
    expect((await readAll(store, key))?.size).toBe(11 * MIB);
  });

  it('aborts the upload when a part cannot be stored', async () => {
    s3.intercept = (request, response) => {
      if (!isPart(request.url)) return false;
      request.resume();
      response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
      return true;
    };
    const key = newKey();
    const source = Readable.from(chunksOf(40 * MIB), { objectMode: false });
    await expect(store.put(key, source, options())).rejects.toMatchObject({ code: 'unavailable' });
    expect(await s3.uploads()).toEqual([]);
    expect(source.destroyed).toBe(true);
    expect(await store.get(key)).toBeUndefined();
  });

  it('says too large though the upload cannot be aborted', async () => {
    s3.intercept = (request, response) => {
      if (request.method !== 'DELETE') return false;
      response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
      return true;
    };
    const source = Readable.from(chunksOf(12 * MIB), { objectMode: false });
    await expect(
      store.put(newKey(), source, options({ bytesMax: 11 * MIB })),
    ).rejects.toMatchObject({ code: 'too_large' });
  });

  it('fails a reader whose file breaks off, and does not end early', async () => {
    const key = newKey();
    await store.put(key, Readable.from(chunksOf(4 * MIB), { objectMode: false }), options());
    s3.intercept = (_, response) => {
      response.writeHead(200, { 'content-length': 4 * MIB }).write(Buffer.alloc(MIB));
      setImmediate(() => response.destroy());
      return true;
    };
    await expect(readAll(store, key)).rejects.toThrow('aborted');
  });

  it.each([
    ['the whole file', 200, {}],
    ['another part', 206, { 'content-range': 'bytes 0-9/10' }],
  ])('does not take %s for the part it asked for', async (_, status, headers) => {
    s3.intercept = (__, response) => {
      response.writeHead(status, headers).end('0123456789');
      return true;
    };
    const range = { start: 2, end: 3 };
    await expect(store.get(newKey(), { range })).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('takes the 404 of a server that knows no idempotent delete', async () => {
    s3.intercept = (_, response) => {
      response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
      return true;
    };
    await store.delete(newKey());
  });

  it('does not take a missing bucket for a missing file', async () => {
    const lost = await open({ bucket: 'nowhere' });
    await expect(lost.get(newKey())).rejects.toMatchObject({ code: 'unavailable' });
    await expect(lost.delete(newKey())).rejects.toMatchObject({ code: 'unavailable' });
    await expect(lost.put(newKey(), streamOf(Buffer.from('x')), options())).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect((await lost.check()).says).toContain('MEDIA_S3_BUCKET');
  });

  it('names what to correct when the bucket refuses or nobody answers', async () => {
    const stranger = await open({ secretAccessKey: 'wrong' });
    expect(await stranger.check()).toMatchObject({ name: 'media', ok: false });
    expect((await stranger.check()).says).toContain('MEDIA_S3_ACCESS_KEY_ID');
    const nobody = await open({ endpoint: 'http://127.0.0.1:1' });
    expect((await nobody.check()).says).toContain('MEDIA_S3_ENDPOINT');
    await expect(nobody.get(newKey())).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('is red in time when the server takes a request and never answers', async () => {
    s3.intercept = () => true;
    const health = await store.check();
    expect(health).toMatchObject({ ok: false });
    expect(health.says).toContain('does not answer');
  });
});
