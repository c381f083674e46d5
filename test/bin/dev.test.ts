import { describe, expect, it } from 'vitest';
import { formatGreeting, quote } from '../../bin/dev/greeting.ts';
import { restartDelayMs, summarise } from '../../bin/dev/supervisor.ts';
import { findRole, USAGE } from '../../bin/roles.ts';

describe('the command', () => {
  it('knows its roles and nothing that every object has', () => {
    for (const role of [
      'api',
      'ingest',
      'replicator',
      'gateway',
      'migrate',
      'slot',
      'verify',
      'dev',
    ]) {
      expect(findRole(role)).toBeDefined();
      expect(USAGE).toContain(`  ${role} `);
    }
    expect(findRole('constructor')).toBeUndefined();
    expect(findRole('')).toBeUndefined();
  });
});

describe('what dev prints', () => {
  it('quotes a word for a shell only where it must', () => {
    expect(quote('demo')).toBe('demo');
    expect(quote('with space')).toBe(`'with space'`);
    expect(quote(`it's`)).toBe(`'it'\\''s'`);
    expect(quote('$(rm)')).toBe(`'$(rm)'`);
    expect(quote('')).toBe(`''`);
  });

  it('names every place and the login', () => {
    const text = formatGreeting(
      {
        api: 'http://127.0.0.1:1',
        feed: 'ws://127.0.0.1:2/feed',
        database: 'postgres://a@b/c',
        redis: 'redis://d',
        login: { username: 'demo', password: `it's` },
      },
      {
        dataDirectory: '/data',
        kommoAdmin: 'http://127.0.0.1:3/__admin',
        whatsapp: { admin: 'http://127.0.0.1:4/__admin', phone: '51999000001' },
      },
    );
    for (const part of [
      'http://127.0.0.1:1/docs',
      'ws://127.0.0.1:2/feed',
      'postgres://a@b/c',
      'redis://d',
      '/data/logs',
      'http://127.0.0.1:3/__admin/leads',
      'http://127.0.0.1:4/__admin/messages',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).toContain(`-d '{"username":"demo","password":"it'\\''s"}'`);
  });

  it('shows warnings and worse of a log, and leaves the rest to the file', () => {
    expect(summarise('{"level":30,"message":"listening"}')).toBeUndefined();
    expect(summarise('{"level":40,"message":"slow"}')).toBe('slow');
    expect(summarise('{"level":50,"message":"failed","error":{"message":"no route"}}')).toBe(
      'failed: no route',
    );
    expect(summarise('not JSON')).toBe('not JSON');
    expect(summarise('null')).toBeUndefined();
    expect(summarise('')).toBeUndefined();
  });
});

describe('a role that ends', () => {
  it('is started again, ever later, up to ten seconds', () => {
    expect([0, 1, 2, 3, 6, 30, 2_000].map(restartDelayMs)).toEqual([
      250, 500, 1_000, 2_000, 10_000, 10_000, 10_000,
    ]);
  });
});
