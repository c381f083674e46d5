import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideServing } from '../../../platform/media/serving.ts';
import { SNIFF_BYTES, sniffContentType } from '../../../platform/media/sniff.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

function ftyp(major: string, ...compatible: string[]): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(16 + 4 * compatible.length);
  return Buffer.concat([
    size,
    latin1(`ftyp${major}\0\0\0\0${compatible.join('')}`),
    latin1('\0\0\0\x08free'),
  ]);
}

/** The first page of an Ogg file, with a table of one segment. */
const ogg = (packet: string): Buffer => latin1(`OggS\0\x02${'\0'.repeat(20)}\x01\x13${packet}`);

function entry(name: string, content = ''): Buffer {
  const header = Buffer.alloc(30);
  header.write('PK\x03\x04', 'latin1');
  header.writeUInt32LE(content.length, 18);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, latin1(name + content)]);
}

const OOXML = 'application/vnd.openxmlformats-officedocument.';
const DOCX = `${OOXML}wordprocessingml.document`;
const XLSX = `${OOXML}spreadsheetml.sheet`;
const PPTX = `${OOXML}presentationml.presentation`;
const ODT = 'application/vnd.oasis.opendocument.text';
const compound = latin1('\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0');
const contentTypes = entry('[Content_Types].xml', 'deflated');

const CASES: [what: string, head: Buffer, type: string, declared?: string][] = [
  ['a JPEG', latin1('\xff\xd8\xff\xe0\0\x10JFIF'), 'image/jpeg'],
  ['a PNG', latin1('\x89PNG\r\n\x1a\n\0\0\0\rIHDR'), 'image/png'],
  ['an old GIF', latin1('GIF87a\x01\0'), 'image/gif'],
  ['a GIF', latin1('GIF89a\x01\0'), 'image/gif'],
  ['a WebP', latin1('RIFF\x24\0\0\0WEBPVP8 '), 'image/webp'],
  ['a RIFF that is no WebP', latin1('RIFF\x24\0\0\0WAVEfmt '), 'application/octet-stream'],
  ['an MP4', ftyp('isom', 'iso2', 'avc1', 'mp41'), 'video/mp4'],
  ['an MP4 of version 2', ftyp('mp42', 'isom'), 'video/mp4'],
  ['an MP4 with sound only, as declared', ftyp('mp42'), 'audio/mp4', 'audio/mp4'],
  ['an MP4 declared as M4A', ftyp('mp42'), 'audio/mp4', 'Audio/X-M4A; x=y'],
  ['an MP4 declared as a page', ftyp('mp42'), 'video/mp4', 'text/html'],
  ['an M4A', ftyp('M4A ', 'isom'), 'audio/mp4'],
  ['a 3GP', ftyp('3gp4', 'isom'), 'video/3gpp'],
  ['a 3GP with sound only, as declared', ftyp('3gp5'), 'audio/3gpp', 'audio/3gpp'],
  ['a film whose first brand is unknown', ftyp('XXXX', 'mp41'), 'video/mp4'],
  ['a HEIC, which is no film', ftyp('heic', 'mif1'), 'application/octet-stream'],
  ['a voice note', ogg('OpusHead\x01\x01'), 'audio/ogg; codecs=opus'],
  ['a voice note declared as a film', ogg('OpusHead\x01'), 'audio/ogg; codecs=opus', 'video/ogg'],
  ['an Ogg Vorbis', ogg('\x01vorbis'), 'audio/ogg'],
  ['an Ogg Theora', ogg('\x80theora'), 'video/ogg'],
  ['an MP3 with a tag', latin1('ID3\x04\0\0'), 'audio/mpeg'],
  ['an MP3 without a tag', latin1('\xff\xfb\x90\x64\0'), 'audio/mpeg'],
  ['an MP3 of MPEG 2', latin1('\xff\xf3\x40\xc4\0'), 'audio/mpeg'],
  ['a frame with a rate that is none', latin1('\xff\xfb\xf0\x64\0'), 'application/octet-stream'],
  ['an AAC', latin1('\xff\xf1\x50\x80\0'), 'audio/aac'],
  ['an AMR', latin1('#!AMR\n\x3c'), 'audio/amr'],
  ['a wide-band AMR', latin1('#!AMR-WB\n\x04'), 'audio/amr-wb'],
  ['a PDF', latin1('%PDF-1.7\n%\xe2\xe3'), 'application/pdf'],
  ['a zip', entry('photos/1.jpg', 'x'), 'application/zip'],
  ['an empty zip', latin1('PK\x05\x06\0\0'), 'application/zip'],
  ['a zip with a folder of an office document below', entry('my/word/x'), 'application/zip'],
  ['a zip declared as a document', entry('photos/1.jpg', 'x'), 'application/zip', DOCX],
  ['a text document', Buffer.concat([contentTypes, entry('word/document.xml')]), DOCX],
  ['a sheet', Buffer.concat([contentTypes, entry('xl/workbook.xml')]), XLSX, DOCX],
  ['slides', Buffer.concat([contentTypes, entry('ppt/presentation.xml')]), PPTX],
  ['an office document, by its sender', contentTypes, XLSX, XLSX],
  ['an office document of an unknown kind', contentTypes, 'application/zip'],
  ['an OpenDocument', entry('mimetype', ODT), ODT, 'application/zip'],
  ['an e-book', entry('mimetype', 'application/epub+zip'), 'application/zip', ODT],
  ['an old office document, by its sender', compound, 'application/msword', 'application/msword'],
  ['an old office document', compound, 'application/x-ole-storage', 'text/html'],
  ['a text', Buffer.from('Hola, ¿qué tal? 🙂\r\n'), 'text/plain'],
  ['a text of an old system', latin1('ma\xf1ana;5\n'), 'text/csv', 'text/csv'],
  ['a text in UTF-16', Buffer.from('\ufeffhola', 'utf16le'), 'text/plain'],
  ['a visiting card', Buffer.from('BEGIN:VCARD\r\n'), 'text/vcard', 'text/x-vcard; charset=utf-8'],
  ['nothing', Buffer.alloc(0), 'text/plain'],
  ['a page', Buffer.from('<!doctype html><script>'), 'text/plain', 'text/html'],
  ['a page that calls itself a picture', Buffer.from('<html>'), 'text/plain', 'image/png'],
  ['a drawing', Buffer.from('<svg onload="x()">'), 'text/plain', 'image/svg+xml'],
  ['a script', Buffer.from('alert(1)'), 'text/plain', 'text/javascript'],
  ['a program', latin1('\x7fELF\x02\x01\x01\0'), 'application/octet-stream', 'image/png'],
  ['a program of Windows', latin1('MZ\x90\0\x03'), 'application/octet-stream', 'video/mp4'],
];

describe('what a file is', () => {
  it.each(CASES)('is told by its first bytes: %s', (_, head, type, declared) => {
    expect(sniffContentType(head, declared)).toBe(type);
  });

  it('does not depend on what is behind the bytes it looks at', () => {
    const head = Buffer.alloc(SNIFF_BYTES + 1, 'a');
    head[SNIFF_BYTES] = 0;
    expect(sniffContentType(head)).toBe('text/plain');
  });

  it('is read from a view of a larger buffer', () => {
    const view = new Uint8Array(latin1('xx%PDF-1.7')).subarray(2);
    expect(sniffContentType(view)).toBe('application/pdf');
  });

  it('is always something that is served as it is called, for any bytes and any declaration', () => {
    const heads = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .tuple(fc.constantFrom(...CASES.map(([, head]) => head)), fc.uint8Array())
        .map((parts) => Buffer.concat(parts)),
      fc
        .tuple(fc.constantFrom(...CASES.map(([, head]) => head)), fc.nat(40))
        .map(([head, end]) => head.subarray(0, end)),
    );
    const declared = fc.oneof(fc.string(), fc.constantFrom('text/html', 'image/svg+xml', DOCX));
    fc.assert(
      fc.property(heads, declared, (head, says) => {
        const type = sniffContentType(head, says);
        expect(type).not.toMatch(/html|svg|xml$|javascript|ecmascript/);
        const served = decideServing({ contentType: type })['content-type'];
        expect([type, `${type}; charset=utf-8`]).toContain(served);
      }),
      { numRuns: 500 },
    );
  });
});
