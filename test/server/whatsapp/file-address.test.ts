import { describe, expect, it } from 'vitest';
import { fetchableOf, fileAddress } from '../../../server/whatsapp/file-address.ts';

const address = (url: string | undefined, directPath?: string, isFake = false) =>
  fileAddress({ url, directPath }, { isFake })?.href;

describe('where a file is fetched from', () => {
  it.each([
    [
      'its path, at WhatsApp’s host',
      undefined,
      '/v/t62/f?x=1',
      'https://mmg.whatsapp.net/v/t62/f?x=1',
    ],
    [
      'its path, at the host it was at',
      'https://media.cdn.whatsapp.net/a',
      '/b',
      'https://media.cdn.whatsapp.net/b',
    ],
    ['its address', 'https://mmg.whatsapp.net/a?b', undefined, 'https://mmg.whatsapp.net/a?b'],
  ])('is %s', (_, url, path, expected) => {
    expect(address(url, path)).toBe(expected);
  });

  it.each([
    ['http://mmg.whatsapp.net/a'],
    ['https://mmg.whatsapp.net:8443/a'],
    ['https://user@mmg.whatsapp.net/a'],
    ['https://whatsapp.net.example.com/a'],
    ['https://evilwhatsapp.net/a'],
    ['https://169.254.169.254/latest/meta-data'],
    ['http://127.0.0.1:5432/'],
    ['https://localhost/'],
    ['file:///etc/passwd'],
    ['nonsense'],
  ])('is never %s', (url) => {
    expect(address(url)).toBeUndefined();
    // Its path is asked for at WhatsApp's, and there alone.
    expect(address(url, '/b')).toBe('https://mmg.whatsapp.net/b');
  });

  it.each(['@example.com/a', '.example.com/a', ':8443/a'])(
    'is never where the path %s leads',
    (path) => {
      expect(address(undefined, path)).toBeUndefined();
    },
  );

  it('is WhatsApp’s also for a path that looks like a host', () => {
    expect(address(undefined, '//example.com/a')).toBe('https://mmg.whatsapp.net//example.com/a');
    expect(address(undefined, '/\\example.com/a')).toMatch(/^https:\/\/mmg\.whatsapp\.net\//);
  });

  it('is this machine for a fake one only', () => {
    expect(address('http://127.0.0.1:4010/f', undefined, true)).toBe('http://127.0.0.1:4010/f');
    expect(address('https://127.0.0.1:4010/f', '/g', true)).toBe('https://127.0.0.1:4010/g');
    expect(address('http://10.0.0.1/f', undefined, true)).toBeUndefined();
  });
});

describe('the file of a message', () => {
  const mediaKey = Buffer.alloc(32, 1);

  it('is found whatever its kind', () => {
    expect(fetchableOf({ ptvMessage: { mediaKey } })?.kind).toBe('video');
    expect(fetchableOf({ stickerMessage: { mediaKey, directPath: '/s' } })).toMatchObject({
      kind: 'sticker',
      directPath: '/s',
    });
  });

  it('is none without a key', () => {
    expect(fetchableOf({ imageMessage: { url: 'https://mmg.whatsapp.net/a' } })).toBeUndefined();
    expect(fetchableOf({ conversation: 'x' })).toBeUndefined();
    expect(fetchableOf(undefined)).toBeUndefined();
  });
});
