import { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  NoSuchKey,
  S3Client,
  S3ServiceException,
  type GetObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { ClarinError } from '../../domain/errors.ts';
import type { MediaConfig } from '../config.ts';
import type { HealthCheck } from '../health.ts';
import { assertMediaKey } from './key.ts';
import { meter, type Stored } from './meter.ts';
import { assertRange, type ByteRange } from './range.ts';
import type { Got, MediaStore, PutOptions } from './store.ts';

type Options = Extract<MediaConfig, { store: 's3' }>;
type Bucket = { readonly client: S3Client; readonly name: string };

/** The smallest part S3 takes. Beside the parts on their way one is being filled: 15 MiB for one upload. */
const PART_BYTES = 5 * 1024 * 1024;
const PARTS_AT_ONCE = 2;
const ATTEMPTS_MAX = 3;
const CONNECTION_TIMEOUT_MS = 2_000;
/** From the first byte of a request to the headers of its answer: a part at 0.7 Mbit/s. */
const REQUEST_TIMEOUT_MS = 60_000;
const CHECK_MS_MAX = 1_900;

/**
 * Objects of a bucket, whose names are the keys. A file of one part is one request; a larger one is a multipart upload,
 * which is aborted when anything fails. A process that is killed in between leaves its parts behind, which no listing of
 * objects shows: the bucket needs a lifecycle rule (AbortIncompleteMultipartUpload), see docs/decisions/0009-media.md.
 */
export function createS3Store(options: Options): MediaStore {
  const bucket = { client: createClient(options), name: options.bucket };
  return {
    put: async (key, source, put) => {
      assertMediaKey(key);
      return putObject(bucket, key, source, put);
    },
    get: async (key, { range } = {}) => {
      assertMediaKey(key);
      return getObject(bucket, key, range);
    },
    delete: async (key) => {
      assertMediaKey(key);
      return deleteObject(bucket, key);
    },
    check: () => checkBucket(bucket),
  };
}

function createClient(options: Options): S3Client {
  const { accessKeyId, secretAccessKey } = options;
  return new S3Client({
    region: options.region,
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    forcePathStyle: options.forcePathStyle,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: ATTEMPTS_MAX,
    // The SDK's default sends checksums in trailers that S3 knows and many other stores refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      // No socketTimeout: a player that is paused stops reading, and that is no fault.
    },
  });
}

async function putObject(
  { client, name }: Bucket,
  key: string,
  source: Readable,
  options: PutOptions,
): Promise<Stored> {
  const metered = meter(source, options);
  try {
    // Without its `abortController`: an abort would be told before the parts are gone. The signal ends the source,
    // and a source that fails makes it wait for the parts under way and abort the upload, in this order.
    const upload = new Upload({
      client,
      params: {
        Bucket: name,
        Key: key,
        Body: Readable.from(metered.bytes, { objectMode: false }),
        ContentType: options.contentType,
      },
      partSize: PART_BYTES,
      queueSize: PARTS_AT_ONCE,
    });
    await upload.done();
    return metered.measure();
  } catch (error) {
    source.destroy();
    if (metered.fault) throw metered.fault.error;
    throw unavailable('was not stored', error);
  }
}

async function getObject(
  { client, name }: Bucket,
  key: string,
  range: ByteRange | undefined,
): Promise<Got | undefined> {
  if (range) assertRange(range);
  const found = await client
    .send(
      new GetObjectCommand({
        Bucket: name,
        Key: key,
        ...(range && { Range: `bytes=${range.start}-${range.end}` }),
      }),
    )
    .catch((error: unknown) => {
      if (isAbsent(error)) return undefined;
      if (statusOf(error) === 416)
        throw new ClarinError('internal', 'a range begins beyond the end of a stored file');
      throw unavailable('was not read', error);
    });
  if (!found) return undefined;
  const size = wholeSizeOf(found, range);
  if (!(found.Body instanceof Readable) || size === undefined) {
    if (found.Body instanceof Readable) found.Body.destroy();
    throw unavailable('was not read', new Error('the answer is not what was asked for'));
  }
  return { stream: found.Body, size };
}

/** Undefined when the answer is not what was asked for: some servers ignore a range, or give another one. */
function wholeSizeOf(
  { ContentLength, ContentRange = '' }: GetObjectCommandOutput,
  range: ByteRange | undefined,
): number | undefined {
  if (!range) return ContentRange === '' ? ContentLength : undefined;
  const [, start, end, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(ContentRange) ?? [];
  const size = Number(total);
  const isRight = Number(start) === range.start && Number(end) === Math.min(range.end, size - 1);
  return isRight ? size : undefined;
}

async function deleteObject({ client, name }: Bucket, key: string): Promise<void> {
  try {
    await client.send(new DeleteObjectCommand({ Bucket: name, Key: key }));
  } catch (error) {
    // S3 says nothing about what was not there; others do.
    if (!isAbsent(error)) throw unavailable('was not deleted', error);
  }
}

async function checkBucket({ client, name }: Bucket): Promise<HealthCheck> {
  try {
    const abortSignal = AbortSignal.timeout(CHECK_MS_MAX);
    await client.send(new HeadBucketCommand({ Bucket: name }), { abortSignal });
    return { name: 'media', ok: true, says: 'the bucket answers' };
  } catch (error) {
    return { name: 'media', ok: false, says: explain(statusOf(error)) };
  }
}

/** Pure: what the answer to a HEAD of the bucket means. Names no host and no bucket: anybody may read it. */
function explain(status: number | undefined): string {
  switch (status) {
    case 301:
    case 400:
      return 'the bucket is elsewhere: correct MEDIA_S3_REGION or MEDIA_S3_ENDPOINT';
    case 403:
      return 'the bucket refuses us: correct MEDIA_S3_ACCESS_KEY_ID and its secret, or its policy';
    case 404:
      return 'there is no such bucket: make it, or correct MEDIA_S3_BUCKET';
    case undefined:
      return 'the store of MEDIA_S3_ENDPOINT does not answer';
    default:
      return `the store answers ${status}`;
  }
}

/** A bucket that is not there is a 404 too, and something else. */
function isAbsent(error: unknown): boolean {
  return error instanceof NoSuchKey || (error instanceof Error && error.name === 'NoSuchKey');
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

function unavailable(what: string, cause: unknown): ClarinError {
  return new ClarinError('unavailable', `the object ${what}`, { cause });
}
