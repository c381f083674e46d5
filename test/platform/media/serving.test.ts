import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideServing } from '../../../platform/media/serving.ts';

const dispositionOf = (filename: string): string =>
  decideServing({ contentType: 'image/png', filename })['content-disposition'];

describe('serving a stored file', () => {
  it('shows a picture in place', () => {
    expect(decideServing({ contentType: 'image/jpeg', filename: 'a b.jpg' })).toEqual({
      'content-type': 'image/jpeg',
      'content-disposition': `inline; filename="a b.jpg"; filename*=UTF-8''a%20b.jpg`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
    });
  });

  it('gives the picture as a download to whom asks for one', () => {
    const headers = decideServing({ contentType: 'image/jpeg', isDownload: true });
    expect(headers['content-disposition']).toBe('attachment');
    expect(headers['content-type']).toBe('image/jpeg');
  });

  it('names the codec of a voice note, without which some players do not try', () => {
    const headers = decideServing({ contentType: 'audio/ogg; codecs=opus' });
    expect(headers['content-type']).toBe('audio/ogg; codecs=opus');
    expect(headers['content-disposition']).toBe('inline');
  });

  it('leaves the viewer of PDF able to start', () => {
    const headers = decideServing({ contentType: 'application/pdf' });
    expect(headers['content-disposition']).toBe('inline');
    expect(headers).not.toHaveProperty('content-security-policy');
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  it.each([
    ['text/plain', 'text/plain; charset=utf-8'],
    ['text/csv; charset=latin1', 'text/csv; charset=utf-8'],
    ['application/zip', 'application/zip'],
    ['application/msword', 'application/msword'],
  ])('gives %s as a download', (contentType, served) => {
    const headers = decideServing({ contentType });
    expect(headers['content-type']).toBe(served);
    expect(headers['content-disposition']).toBe('attachment');
  });

  it.each([
    'text/html',
    'TEXT/HTML; charset=utf-8',
    ' text/html',
    'application/xhtml+xml',
    'image/svg+xml',
    'IMAGE/SVG+XML',
    'text/xml',
    'application/xml',
    'text/javascript',
    'application/javascript',
    'application/ecmascript',
    'application/x-shockwave-flash',
    'multipart/related',
    'message/rfc822',
    'image/png,text/html',
    'image/png\r\nx-evil: 1',
    '*/*',
    '',
  ])('calls it bytes, and shows it nowhere: %j', (contentType) => {
    expect(decideServing({ contentType, filename: 'x.html' })).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': expect.stringMatching(/^attachment;/),
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
    });
  });

  it.each([
    ['informe año.pdf', `filename="informe a_o.pdf"; filename*=UTF-8''informe%20a%C3%B1o.pdf`],
    ['../../etc/passwd', `filename="passwd"; filename*=UTF-8''passwd`],
    ['C:\\temp\\a.png', `filename="a.png"; filename*=UTF-8''a.png`],
    ['a"b.png', `filename="a_b.png"; filename*=UTF-8''a%22b.png`],
    ["it's (1)*!.png", `filename="it's (1)*!.png"; filename*=UTF-8''it%27s%20%281%29%2A%21.png`],
    ['100%.png', `filename="100_.png"; filename*=UTF-8''100%25.png`],
    [
      'a\r\nset-cookie: x.png',
      `filename="aset-cookie: x.png"; filename*=UTF-8''aset-cookie%3A%20x.png`,
    ],
    ['photo\u202egpj.exe', `filename="photogpj.exe"; filename*=UTF-8''photogpj.exe`],
    ['.htaccess', `filename="htaccess"; filename*=UTF-8''htaccess`],
    ['half \ud83d.png', `filename="half _.png"; filename*=UTF-8''half%20%EF%BF%BD.png`],
  ])('writes a name so that nobody misreads it: %j', (filename, written) => {
    expect(dispositionOf(filename)).toBe(`inline; ${written}`);
  });

  it.each(['', '/', '...', '\0', 'folder/'])('leaves out a name that is none: %j', (filename) => {
    expect(dispositionOf(filename)).toBe('inline');
  });

  it('keeps the end of a long name, where its extension is', () => {
    const written = dispositionOf(`${'x'.repeat(5_000)}.png`);
    expect(written).toContain('xxx.png"');
    expect(written.length).toBeLessThan(400);
  });

  it('writes headers that can be sent, for any type and any name', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(text, text, (contentType, filename) => {
        for (const value of Object.values(decideServing({ contentType, filename }))) {
          expect(value).toMatch(/^[\x20-\x7e]+$/);
        }
      }),
    );
  });
});
