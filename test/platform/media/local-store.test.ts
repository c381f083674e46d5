import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMediaStore, type MediaStore } from '../../../platform/media/store.ts';
import { itIsAMediaStore, MIB, newKey, options, readAll, streamOf } from './store-contract.ts';

let directory: string;
let store: MediaStore;

const open = (path: string, bytesMax = MIB): Promise<MediaStore> =>
  createMediaStore({ store: 'local', directory: path, bytesMax });
const partials = async (path: string): Promise<string[]> =>
  readdir(join(path, '.incoming')).catch(() => []);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'clarin-media-'));
  store = await open(directory);
});
afterAll(() => rm(directory, { recursive: true }));

describe('a store on disk', () => {
  itIsAMediaStore(() => ({ store, leftovers: () => partials(directory) }));

  it('keeps a file at its key, for its own user only', async () => {
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('here')), options());
    expect(await readFile(join(directory, key), 'utf8')).toBe('here');
    expect((await stat(join(directory, key))).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, '7'))).mode & 0o777).toBe(0o700);
  });

  it('gives a first byte alone', async () => {
    const key = newKey();
    await store.put(key, streamOf(Buffer.from('0123456789')), options());
    expect(await readAll(store, key, { start: 0, end: 0 })).toEqual({
      bytes: Buffer.from('0'),
      size: 10,
    });
  });

  it('writes as it reads, and holds no more than a few chunks', async () => {
    const path = await mkdtemp(join(directory, 'flat-'));
    const chunkBytes = 64 * 1024;
    let behindBytesMax = 0;
    let seenBytes = 0;
    async function* measured() {
      for (let given = 0; given < 32 * MIB; given += chunkBytes) {
        const [name] = await partials(path);
        const written = name === undefined ? 0 : (await stat(join(path, '.incoming', name))).size;
        seenBytes = written;
        behindBytesMax = Math.max(behindBytesMax, given - written);
        yield Buffer.alloc(chunkBytes);
      }
    }
    const source = Readable.from(measured(), { objectMode: false });
    await (await open(path)).put(newKey(), source, options());
    expect(seenBytes).toBeGreaterThan(31 * MIB);
    expect(behindBytesMax).toBeLessThanOrEqual(8 * chunkBytes);
  });

  it('lets one who reads a file read on while it is replaced and deleted', async () => {
    const key = newKey();
    await store.put(key, streamOf(Buffer.alloc(MIB, 'a')), options());
    const got = await store.get(key);
    await store.put(key, streamOf(Buffer.from('b')), options());
    await store.delete(key);
    const read = Buffer.concat((await got?.stream.toArray()) ?? []);
    expect(read.equals(Buffer.alloc(MIB, 'a'))).toBe(true);
  });

  it('removes what a killed process left a day ago, and nothing younger', async () => {
    const path = await mkdtemp(join(directory, 'swept-'));
    await mkdir(join(path, '.incoming'));
    for (const name of ['old', 'young']) await writeFile(join(path, '.incoming', name), 'half');
    const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1_000);
    await utimes(join(path, '.incoming', 'old'), yesterday, yesterday);
    await (await open(path)).put(newKey(), streamOf(Buffer.from('x')), options());
    expect(await partials(path)).toEqual(['young']);
  });

  it('makes its directory when it is first needed', async () => {
    const path = join(directory, 'not', 'yet');
    const fresh = await open(path);
    expect(await fresh.get(newKey())).toBeUndefined();
    await fresh.delete(newKey());
    const key = newKey();
    await fresh.put(key, streamOf(Buffer.from('x')), options());
    expect((await readAll(fresh, key))?.size).toBe(1);
    expect(await (await open(join(directory, 'neither'))).check()).toMatchObject({ ok: true });
  });

  it('is unavailable, and says so, where there cannot be a directory', async () => {
    const file = join(directory, 'a-file');
    await writeFile(file, '');
    const broken = await open(join(file, 'below'));
    const source = streamOf(Buffer.from('x'));
    await expect(broken.put(newKey(), source, options())).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(source.destroyed).toBe(true);
    await expect(broken.get(newKey())).rejects.toMatchObject({ code: 'unavailable' });
    await expect(broken.delete(newKey())).rejects.toMatchObject({ code: 'unavailable' });
    const health = await broken.check();
    expect(health).toMatchObject({ name: 'media', ok: false });
    expect(health.says).toContain('MEDIA_DIR cannot be written');
  });

  it('is red when the disk has no room for the largest file', async () => {
    const health = await (await open(directory, Number.MAX_SAFE_INTEGER)).check();
    expect(health).toMatchObject({ ok: false });
    expect(health.says).toContain('no room');
  });

  it('survives a source that fails before anybody reads it', async () => {
    const source = new Readable({ read: () => undefined });
    const fault = new Error('cut at once');
    const putting = store.put(newKey(), source, options());
    source.destroy(fault);
    await expect(putting).rejects.toBe(fault);
    expect(await partials(directory)).toEqual([]);
  });
});
