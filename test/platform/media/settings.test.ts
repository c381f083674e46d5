import { describe, expect, it } from 'vitest';
import { readConfig, type Environment } from '../../../platform/config.ts';

const read = (media: Environment, needsMedia = true) =>
  readConfig(
    { DATABASE_URL: 'postgres://127.0.0.1/x', ...media },
    { redis: false, secret: false, media: needsMedia, encryption: false },
  ).media;

const S3 = {
  MEDIA_STORE: 's3',
  MEDIA_S3_BUCKET: 'files',
  MEDIA_S3_ACCESS_KEY_ID: 'id',
  MEDIA_S3_SECRET_ACCESS_KEY: 'key',
};

describe('the settings of the media store', () => {
  it('are a directory and 100 MiB, unless they say otherwise', () => {
    const config = { store: 'local', directory: '/data', bytesMax: 104_857_600 };
    expect(read({ MEDIA_DIR: '/data' })).toEqual(config);
    expect(read({ MEDIA_DIR: '/data', MEDIA_BYTES_MAX: '5' })).toEqual({ ...config, bytesMax: 5 });
  });

  it('are a bucket, of AWS or of anybody', () => {
    const aws = {
      store: 's3',
      endpoint: undefined,
      region: 'us-east-1',
      bucket: 'files',
      accessKeyId: 'id',
      secretAccessKey: 'key',
      forcePathStyle: false,
      bytesMax: 104_857_600,
    };
    expect(read(S3)).toEqual(aws);
    const more = {
      MEDIA_S3_ENDPOINT: 'https://s3.example',
      MEDIA_S3_REGION: 'eu-west-3',
      MEDIA_S3_FORCE_PATH_STYLE: 'true',
    };
    expect(read({ ...S3, ...more })).toEqual({
      ...aws,
      endpoint: 'https://s3.example',
      region: 'eu-west-3',
      forcePathStyle: true,
    });
  });

  it('name what the chosen store lacks', () => {
    expect(() => read({})).toThrow('MEDIA_DIR is missing (MEDIA_STORE is local)');
    expect(() => read({ MEDIA_DIR: '' })).toThrow('MEDIA_DIR is missing');
    expect(() => read({ MEDIA_STORE: 's3', MEDIA_DIR: '/data' })).toThrow(
      'MEDIA_S3_BUCKET is missing; MEDIA_S3_ACCESS_KEY_ID is missing; MEDIA_S3_SECRET_ACCESS_KEY is missing',
    );
  });

  it.each([
    ['MEDIA_STORE', 'tape'],
    ['MEDIA_S3_ENDPOINT', 'ftp://x'],
    ['MEDIA_S3_FORCE_PATH_STYLE', 'yes'],
    ['MEDIA_BYTES_MAX', '0'],
    ['MEDIA_BYTES_MAX', '2147483648'],
    ['MEDIA_BYTES_MAX', '1.5'],
  ])('refuse %s=%s', (name, value) => {
    expect(() => read({ MEDIA_DIR: '/data', [name]: value })).toThrow(name);
  });

  it('are nobody else’s concern', () => {
    expect(() => read({ MEDIA_STORE: 's3' }, false)).not.toThrow();
  });
});
