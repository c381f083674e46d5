import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAll, toWindows1252, WINDOWS_1252 } from './support.ts';

/** Longer than the head, all of it ASCII. */
const asciiHead = 'name,phone\n'.repeat(7_000);

describe('the encoding', { timeout: 30_000 }, () => {
  it('is UTF-8 with a byte order mark, which is not part of the first field', async () => {
    const { encoding, fields } = await readAll('\uFEFFnombre,año\nÑ,😀\n');
    expect({ encoding, fields }).toEqual({
      encoding: 'utf-8',
      fields: [
        ['nombre', 'año'],
        ['Ñ', '😀'],
      ],
    });
  });

  it('is UTF-8 when the head is, also when the head ends within a character', async () => {
    for (const before of [0, 1, 2, 3]) {
      const file = `${'x'.repeat(60_000)},\n${'y'.repeat(65_536 - 60_002 - before)}😀,€\n`;
      const { encoding, fields } = await readAll(file);
      expect(encoding).toBe('utf-8');
      expect(fields[1]?.[0]?.endsWith('y😀')).toBe(true);
    }
  });

  it('is Windows-1252 otherwise, with the characters that Latin-1 does not have', async () => {
    const characters = [...WINDOWS_1252.keys()].filter((one) => !/["\r\n]/.test(one)).join('');
    const { encoding, fields } = await readAll(toWindows1252(`a\tb\n${characters}\t€’ñ\n`));
    expect(encoding).toBe('windows-1252');
    expect(fields[1]?.join('\t')).toBe(`${characters}\t€’ñ`);
  });

  it('is Windows-1252 for any of its texts that is not UTF-8 as well', async () => {
    const text = fc.string({ unit: fc.constantFrom('ñ', 'É', '€', 'a', ' ', '“'), minLength: 1 });
    await fc.assert(
      fc.asyncProperty(text, async (content) => {
        const bytes = toWindows1252(content);
        fc.pre(!isUtf8(bytes));
        expect(await readAll(bytes)).toMatchObject({
          encoding: 'windows-1252',
          fields: [[content]],
        });
      }),
    );
  });

  it('can be said by the caller, where the head does not show it', async () => {
    const file = Buffer.concat([Buffer.from(asciiHead), toWindows1252('Muñoz,1\n')]);
    const { fields } = await readAll(file, { encoding: 'windows-1252' });
    expect(fields[7_000]).toEqual(['Muñoz', '1']);
  });

  it('is refused with the line where a file that began as UTF-8 no longer is', async () => {
    for (const wrong of ['Muñoz', 'ñ', 'Ãñ']) {
      const file = Buffer.concat([Buffer.from(asciiHead), toWindows1252(`${wrong},1\n2,3\n`)]);
      await expect(readAll(file)).rejects.toMatchObject({
        code: 'invalid_request',
        details: { line: 7_001 },
        message: expect.stringContaining('line 7001 is not UTF-8') as string,
      });
    }
  });

  it('is refused when the file has the mark of UTF-8 and is not, or ends within a character', async () => {
    const marked = Buffer.concat([Buffer.from('\uFEFFa,b\r\n'), toWindows1252('ñ,2\r\n')]);
    await expect(readAll(marked)).rejects.toMatchObject({ details: { line: 2 } });
    const cut = Buffer.from(`${asciiHead}1,€`).subarray(0, -1);
    await expect(readAll(cut)).rejects.toMatchObject({ details: { line: 7_001 } });
  });

  it.each([
    ['little endian, marked', Buffer.from('\uFEFFa,b\n', 'utf16le')],
    ['big endian, marked', Buffer.from('\uFEFFa,b\n', 'utf16le').swap16()],
    ['little endian', Buffer.from('a,b\n', 'utf16le')],
    ['big endian', Buffer.from('a,b\n', 'utf16le').swap16()],
  ])('is refused for UTF-16, %s, with what to do', async (_, bytes) => {
    await expect(readAll(bytes)).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/UTF-16; save it as UTF-8/) as string,
    });
  });
});
