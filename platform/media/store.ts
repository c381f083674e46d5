import type { Readable } from 'node:stream';
import type { MediaConfig } from '../config.ts';
import type { HealthCheck } from '../health.ts';
import type { Stored } from './meter.ts';
import type { ByteRange } from './range.ts';

export type PutOptions = {
  /** More than this is refused. */
  readonly bytesMax: number;
  /** What `sniffContentType` says. S3 keeps it for people who look into the bucket; a disk has no place for it. */
  readonly contentType: string;
  readonly signal?: AbortSignal;
};

export type Got = {
  /** To be read to its end or destroyed: a file or a connection is open behind it. Fails when the store does. */
  readonly stream: Readable;
  /** Bytes of the whole file, also when a range was asked for. */
  readonly size: number;
};

/**
 * The bytes of files, under keys of `createMediaKey`; what they are and whose is in the row that holds the key. Every
 * method but `check` throws ClarinError `internal` for another key and `unavailable` when the store cannot do it.
 */
export type MediaStore = {
  /**
   * Stores a stream, all of it or nothing: nobody can `get` a part of it, and when it resolves the bytes are durable.
   * Memory does not grow with the file. When reading or storing fails, the stream is destroyed.
   *
   * An abort after the last byte was read may come too late: then it resolves. After `unavailable` the file may be
   * there all the same, as when an answer of S3 was lost: put it again or delete it.
   * @throws ClarinError `too_large` beyond `bytesMax`; the signal's reason; what the stream itself failed with.
   */
  put(key: string, stream: Readable, options: PutOptions): Promise<Stored>;
  /**
   * Undefined when there is no such file. A range ends with the file at the latest.
   * @throws ClarinError `internal` for a range that begins beyond the file.
   */
  get(key: string, options?: { readonly range?: ByteRange }): Promise<Got | undefined>;
  /** Resolves when there is no such file (any more). Who reads it at the moment may read on. */
  delete(key: string): Promise<void>;
  /** Never throws; answers within two seconds. */
  check(): Promise<HealthCheck>;
};

/** The store of the settings. Touches nothing yet: `check` says whether it can be used. */
export async function createMediaStore(config: MediaConfig): Promise<MediaStore> {
  // Loaded when needed: the SDK of S3 is large, and most installations have a disk.
  switch (config.store) {
    case 'local': {
      const { createLocalStore } = await import('./local-store.ts');
      return createLocalStore(config);
    }
    case 's3': {
      const { createS3Store } = await import('./s3-store.ts');
      return createS3Store(config);
    }
  }
}
