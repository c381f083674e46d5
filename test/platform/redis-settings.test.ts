import { describe, expect, it } from 'vitest';
import { readConfig } from '../../platform/config.ts';
import { isClusterUrl } from '../../platform/redis-cluster.ts';
import { hostOf } from '../../server/start-checks.ts';

const redisUrl = (given: string): string =>
  readConfig(
    { DATABASE_URL: 'postgres://localhost/crm', REDIS_URL: given },
    { redis: true, secret: false, media: false, encryption: false },
  ).redisUrl;

describe('REDIS_URL', () => {
  it.each([
    ['redis://a:6379', false],
    ['rediss://user:secret@a:6380/', false],
    ['redis://a:6379,redis://b:6379', true],
    ['redis://a:6379,redis://a:6380,redis://a:6381', true],
    ['rediss://:secret@cluster.example:6379?cluster=true', true],
  ])('%s is taken, as a Cluster: %s', (url, isCluster) => {
    expect(redisUrl(url)).toBe(url);
    expect(isClusterUrl(url)).toBe(isCluster);
  });

  it.each(['a:6379', 'http://a', 'redis://a,b:6379', 'redis://a,'])(
    '%s is refused in words',
    (url) => {
      expect(() => redisUrl(url)).toThrow(/REDIS_URL must be a URL .* or several, comma-separated/);
    },
  );

  it('is named without its password', () => {
    expect(hostOf('redis://:secret@a:6379,redis://:secret@b:6380')).toBe('a:6379, b:6380');
    expect(hostOf('redis://:secret@a:6379')).toBe('a:6379');
  });
});
