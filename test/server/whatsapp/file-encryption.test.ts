import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { downloadEncryptedContent, getMediaKeys } from '@whiskeysockets/baileys';
import fc from 'fast-check';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MediaKind } from '../../../server/whatsapp/build-content.ts';
import { DamagedFile, decryptFile } from '../../../server/whatsapp/decrypt-file.ts';
import { encryptFile } from '../../../server/whatsapp/encrypt-file.ts';

let directory: string;
let files = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'clarin-test-'));
});

afterAll(() => rm(directory, { recursive: true }));

const signal = new AbortController().signal;

const encrypt = async (bytes: Buffer, kind: MediaKind = 'image') => {
  const path = join(directory, String(++files));
  const source = Readable.from([bytes.subarray(0, 3), bytes.subarray(3)], { objectMode: false });
  return { path, ...(await encryptFile(source, { kind, path, signal })) };
};

const decrypt = async (
  sealed: Buffer,
  file: { mediaKey: Uint8Array; fileSha256?: Uint8Array },
  chunkBytes = 7,
  kind: MediaKind = 'image',
) => {
  const chunks = createChunks(sealed, chunkBytes);
  const parts: Buffer[] = [];
  for await (const part of decryptFile(chunks, {
    kind,
    mediaKey: file.mediaKey,
    fileSha256: file.fileSha256,
  }))
    parts.push(part);
  return Buffer.concat(parts);
};

function createChunks(bytes: Buffer, chunkBytes: number): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    chunks.push(bytes.subarray(at, at + chunkBytes));
  return Readable.from(chunks);
}

describe('a file as WhatsApp keeps it', () => {
  it('is as it was when it is fetched, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 64 }),
        async (given, chunkBytes) => {
          const bytes = Buffer.from(given);
          const file = await encrypt(bytes);
          expect(file.fileLength).toBe(bytes.length);
          const sealed = await readFile(file.path);
          expect(await decrypt(sealed, file, chunkBytes)).toEqual(bytes);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is what Baileys reads', async () => {
    const bytes = Buffer.from('What somebody sent to somebody else.');
    const file = await encrypt(bytes, 'document');
    const server = createServer((_, response) => createReadStream(file.path).pipe(response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const stream = await downloadEncryptedContent(
      url,
      await getMediaKeys(Buffer.from(file.mediaKey), 'document'),
    );
    const read = Buffer.concat(await stream.toArray());
    await new Promise((resolve) => server.close(resolve));
    expect(read).toEqual(bytes);
  });

  it('is refused when a bit of it differs, when it is cut, or when it is another one', async () => {
    const file = await encrypt(Buffer.from('A picture of thirty-two bytes. Or more.'));
    const sealed = await readFile(file.path);
    for (const at of [0, sealed.length - 1]) {
      const altered = Buffer.from(sealed);
      altered[at] = (altered[at] ?? 0) ^ 1;
      await expect(decrypt(altered, file)).rejects.toThrow(DamagedFile);
    }
    for (const cut of [sealed.subarray(0, -16), sealed.subarray(0, 5), Buffer.alloc(0)])
      await expect(decrypt(cut, file)).rejects.toThrow(DamagedFile);
    await expect(decrypt(sealed, { ...file, fileSha256: Buffer.alloc(32) })).rejects.toThrow(
      'another one',
    );
    await expect(decrypt(sealed, file, 7, 'video')).rejects.toThrow(DamagedFile);
  });

  it('ends with what its source ends with, and a full disk is an error like any other', async () => {
    const broken = new Readable({ read: () => broken.destroy(new Error('gone')) });
    const path = join(directory, 'broken');
    await expect(encryptFile(broken, { kind: 'image', path, signal })).rejects.toThrow('gone');
    const nowhere = join(directory, 'no', 'such', 'place');
    await expect(
      encryptFile(Readable.from([Buffer.from('x')]), { kind: 'image', path: nowhere, signal }),
    ).rejects.toThrow('ENOENT');
  });
});
