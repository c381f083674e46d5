import { randomUUID } from 'node:crypto';
import {
  access,
  constants,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ClarinError } from '../../domain/errors.ts';
import type { MediaConfig } from '../config.ts';
import type { HealthCheck } from '../health.ts';
import { assertMediaKey } from './key.ts';
import { meter, type Meter, type Stored } from './meter.ts';
import { clampRange, type ByteRange } from './range.ts';
import type { Got, MediaStore } from './store.ts';

type Options = Extract<MediaConfig, { store: 'local' }>;

/** Below the directory, and no key: half a file is never where a whole one could be. */
const INCOMING = '.incoming';
/** No upload lasts this long: what is older was left by a process that was killed. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1_000;
/** People's pictures and documents: for the user of our processes alone. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Files below a directory, at `<directory>/<key>`. One is written beside them, flushed, and renamed into place; then the
 * directories are flushed, without which a crash could take the name back. Any number of processes may share it.
 */
export function createLocalStore(options: Options): MediaStore {
  const root = resolve(options.directory);
  const pathOf = (key: string): string => {
    assertMediaKey(key);
    return join(root, key);
  };
  let swept: Promise<void> | undefined;
  return {
    put: async (key, source, put) => {
      const path = pathOf(key);
      const metered = meter(source, put);
      swept ??= removeAbandoned(join(root, INCOMING), Date.now() - ABANDONED_AFTER_MS);
      await swept;
      try {
        return await putFile({ root, path }, metered, put.signal);
      } catch (error) {
        source.destroy();
        throw error;
      }
    },
    get: async (key, { range } = {}) => getFile(pathOf(key), range),
    delete: async (key) => deleteFile(pathOf(key)),
    check: () => checkDirectory(root, options.bytesMax),
  };
}

async function putFile(
  { root, path }: { root: string; path: string },
  metered: Meter,
  signal: AbortSignal | undefined,
): Promise<Stored> {
  const partial = join(root, INCOMING, randomUUID());
  try {
    await mkdir(dirname(partial), { recursive: true, mode: DIRECTORY_MODE });
    await writeAndFlush(partial, metered.bytes);
    signal?.throwIfAborted();
    await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
    await rename(partial, path);
    // The account's directory may be new too.
    await flushDirectory(dirname(path));
    await flushDirectory(root);
    return metered.measure();
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    if (metered.fault) throw metered.fault.error;
    signal?.throwIfAborted();
    throw unavailable('cannot be written', error);
  }
}

async function writeAndFlush(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    // Each behind the one before, all of it: a `write` may stop half-way. One chunk is in memory at a time.
    for await (const chunk of bytes) await file.writeFile(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function flushDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function getFile(path: string, range: ByteRange | undefined): Promise<Got | undefined> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw unavailable('cannot be read', error);
  });
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const part = range && clampRange(range, size);
    return { stream: file.createReadStream({ ...part }), size };
  } catch (error) {
    await file.close();
    throw error instanceof ClarinError ? error : unavailable('cannot be read', error);
  }
}

async function deleteFile(path: string): Promise<void> {
  try {
    await rm(path);
    // What a person asked to be deleted must not come back with a crash.
    await flushDirectory(dirname(path));
  } catch (error) {
    if (!isAbsent(error)) throw unavailable('cannot be written', error);
  }
}

/** Red as well when the next upload would not fit: full disks are found before people find them. */
async function checkDirectory(root: string, bytesMax: number): Promise<HealthCheck> {
  const name = 'media';
  try {
    await mkdir(root, { recursive: true, mode: DIRECTORY_MODE });
    await access(root, constants.R_OK | constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(root);
    if (bavail * bsize >= bytesMax) return { name, ok: true, says: 'can be written' };
    return { name, ok: false, says: 'the disk of MEDIA_DIR has no room for an upload: make some' };
  } catch {
    return {
      name,
      ok: false,
      says: 'MEDIA_DIR cannot be written: does it exist, and whose is it?',
    };
  }
}

/** Best effort: whatever goes wrong here goes wrong again in `put`, where it is told. */
async function removeAbandoned(directory: string, beforeMs: number): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const age = await stat(path).catch(() => undefined);
    if (age && age.mtimeMs < beforeMs) await rm(path, { force: true }).catch(() => undefined);
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function unavailable(what: string, cause: unknown): ClarinError {
  return new ClarinError('unavailable', `the media directory ${what}`, { cause });
}
