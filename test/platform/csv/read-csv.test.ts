import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { COLUMNS_MAX, FIELD_BYTES_MAX, openCsv } from '../../../platform/csv/read-csv.ts';
import { RECORD_BYTES_MAX } from '../../../platform/csv/record-parser.ts';
import { eventually } from '../../support/eventually.ts';
import { readAll } from './support.ts';

/** More than the head and some pieces, in records that are plain. */
const filler = (lines: number): string => 'name,phone,a longer field\n'.repeat(lines);

describe('records', () => {
  it('are fields as the grammar says, with the line on which each starts', async () => {
    const file = [
      'name;notes',
      '"Ana";"two',
      'lines"',
      '',
      'Luis;"he said ""yes"""',
      ';',
      'last;"a;b"',
    ].join('\r\n');
    const { records, separator } = await readAll(file);
    expect(separator).toBe(';');
    expect(records).toEqual([
      { line: 1, fields: ['name', 'notes'] },
      { line: 2, fields: ['Ana', 'two\r\nlines'] },
      { line: 5, fields: ['Luis', 'he said "yes"'] },
      { line: 6, fields: ['', ''] },
      { line: 7, fields: ['last', 'a;b'] },
    ]);
  });

  it.each([
    ['LF', '\n'],
    ['CR', '\r'],
    ['CR LF', '\r\n'],
  ])('keep their lines when lines end in %s and some are empty', async (_, end) => {
    const file = `${end}${end}a,b${end}"1${end}2",3${end}${end}4,5`;
    const { lines, fields } = await readAll(file);
    expect(lines).toEqual([3, 4, 7]);
    expect(fields[1]).toEqual([`1${end}2`, '3']);
  });

  it('keep their lines in a file that mixes the ends of lines', async () => {
    expect((await readAll('a,b\r\n1,2\r3,4\n\n5,6\r\n')).lines).toEqual([1, 2, 3, 5]);
  });

  it('with too many or too few fields are given as they are', async () => {
    const { fields } = await readAll('a,b,c\n1,2\n1,2,3,4\n1\n1,2,3\n');
    expect(fields.map(({ length }) => length)).toEqual([3, 2, 4, 1, 3]);
  });

  it('of very many widths cost no error each', async () => {
    const stacks = vi.spyOn(Error, 'captureStackTrace');
    const { fields } = await readAll('a,b\n1\n1,2,3\n'.repeat(1_000));
    expect(fields).toHaveLength(3_000);
    expect(stacks).not.toHaveBeenCalled();
    stacks.mockRestore();
  });

  it('keep a quote that stands within a field, and what follows one that closes', async () => {
    const { fields } = await readAll('a,b\n5" pipe,"x"y\n');
    expect(fields[1]).toEqual(['5" pipe', '"x"y']);
  });

  it('are none in an empty file, and one when the only field is empty but quoted', async () => {
    expect(await readAll('')).toMatchObject({ records: [], separator: ',', encoding: 'utf-8' });
    expect((await readAll('a\n\n""\n')).records).toEqual([
      { line: 1, fields: ['a'] },
      { line: 3, fields: [''] },
    ]);
  });

  it('are the same wherever the chunks are cut', { timeout: 30_000 }, async () => {
    const part = fc.constantFrom('a', 'ñ', '€', '😀', '"', '""', ',', ';', '\r', '\n', '\r\n', '=');
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 40 }),
        fc.integer({ min: 0, max: 30 }),
        fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 5 }),
        async (parts, before, sizes) => {
          // The parts lie across the end of a piece, and across the end of the head.
          const end = parts.join('');
          const file = `h,i\n${'x'.repeat(4_060 - before)},${end}"\n${'y'.repeat(61_370)}z\n${end}`;
          const [whole, cut] = await Promise.all([settle(file), settle(file, sizes)]);
          expect(cut).toEqual(whole);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('are the same when every chunk is one byte', async () => {
    const file = 'nombre,nota\r\n"Ñandú ""€"" 😀","a\r\nb"\r\n\r\nfin,x';
    expect(await readAll(file, {}, [1])).toEqual(await readAll(file));
  });

  it('say how many bytes of the file they came from', async () => {
    expect(await readAll('a,b\n1,ñ\n')).toMatchObject({ readBytes: 9 });
  });
});

/** The records of a file or, of one that is refused, why. */
async function settle(file: string, sizes?: number[]): Promise<unknown> {
  return readAll(file, { separator: ',', encoding: 'utf-8' }, sizes).catch((error: unknown) => ({
    error: String(error),
  }));
}

describe('a file is refused with its line', { timeout: 30_000 }, () => {
  const refuses = async (
    file: string | Buffer,
    code: string,
    line: number,
    options?: Parameters<typeof readAll>[1],
  ): Promise<void> =>
    expect(readAll(file, options)).rejects.toMatchObject({
      name: 'ClarinError',
      code,
      details: { line },
      message: expect.stringMatching(/^(?=.*\bline ).{20,}$/) as string,
    });

  it('for a field over 64 KiB, and not for one of 64 KiB', async () => {
    const field = 'ñ'.repeat(FIELD_BYTES_MAX / 2);
    expect((await readAll(`a,b\n${field},2\n`)).fields[1]).toEqual([field, '2']);
    await refuses(`a,b\n1,2\n${field}n,2\n`, 'too_large', 3);
  });

  it('for more than 500 columns, and not for 500', async () => {
    const commas = ','.repeat(COLUMNS_MAX - 1);
    expect((await readAll(commas)).fields[0]).toHaveLength(COLUMNS_MAX);
    await refuses(`a,b\n${commas},\n`, 'invalid_request', 2);
  });

  it('for a record over 256 KiB, and not for one of 256 KiB', async () => {
    const field = 'x'.repeat(FIELD_BYTES_MAX - 1);
    const record = [field, field, field, field].join(',');
    expect((await readAll(`a,b\n${record}x\n`)).fields[1]).toHaveLength(4);
    await refuses(`a,b\n${record}xx\n`, 'too_large', 2);
    await refuses(`a,b\n1,2\n${','.repeat(3_000_000)}`, 'too_large', 3);
  });

  it('for a quote that is never closed, at once in a long file', async () => {
    await refuses('a,b\n1,2\n\n"3,4\n5,6\n', 'invalid_request', 4);
    let given = 0;
    const lines = (function* endless(): Generator<Buffer> {
      yield Buffer.from('a,b\n1,2\n"3,4\n');
      for (;;) {
        given += 13_000;
        yield Buffer.from('some,more,x\r\n'.repeat(1_000));
      }
    })();
    const csv = await openCsv(Readable.from(lines, { objectMode: false }), { bytesMax: 1e9 });
    await expect(toArray(csv.records)).rejects.toMatchObject({
      code: 'too_large',
      details: { line: 3 },
    });
    expect(given).toBeLessThan(RECORD_BYTES_MAX * 6);
  });

  it('for a NUL character, in the head and after it', async () => {
    await refuses('a,b\n1,2\n3,\0\n', 'invalid_request', 3);
    await refuses(`${filler(4_000)}1,\0,3\n`, 'invalid_request', 4_001);
    // Of eleven bytes each: some pieces end between the CR and the LF.
    await refuses(`${'name,note\r\n'.repeat(9_000)}1,\0`, 'invalid_request', 9_001);
  });

  it('for more bytes than the caller allows', async () => {
    await refuses('a,b\n1,2\n', 'too_large', 1, { bytesMax: 7 });
    expect((await readAll('a,b\n1,2\n', { bytesMax: 8 })).records).toHaveLength(2);
    const file = filler(10_000);
    await expect(readAll(file, { bytesMax: 100_000 })).rejects.toMatchObject({ code: 'too_large' });
  });

  it('but not for very many empty lines', async () => {
    const { lines } = await readAll(`a,b\n${'\n'.repeat(3_000_000)}1,2`);
    expect(lines).toEqual([1, 3_000_002]);
  });
});

describe('the source', () => {
  /** 100,000 records of about 200 bytes; `bytes` is what has been made of them, `records` in how many chunks. */
  function bigSource(): { stream: Readable; made: { bytes: number } } {
    const made = { bytes: 0 };
    let row = 0;
    const stream = new Readable({
      read() {
        let chunk = '';
        for (let left = 40; left > 0 && row < 100_000; left -= 1, row += 1) chunk += rowText(row);
        made.bytes += chunk.length;
        this.push(chunk === '' ? null : Buffer.from(chunk));
      },
    });
    return { stream, made };
  }
  const rowText = (row: number): string => `${row},"line\nbreak",${'t'.repeat(180)}\n`;
  /** The head, a piece, and what the source itself holds by its high-water mark and a chunk. */
  const AHEAD_BYTES_MAX = 65_536 + 4_096 + 2 * 16_384;

  it('of 100,000 records is never far ahead of who reads them', { timeout: 60_000 }, async () => {
    const { stream, made } = bigSource();
    const csv = await openCsv(stream, { bytesMax: 1e9 });
    let count = 0;
    let takenBytes = 0;
    let aheadBytes = 0;
    for await (const { line, fields } of csv.records) {
      expect(line === 1 + count * 2 && fields[0] === String(count)).toBe(true);
      aheadBytes = Math.max(aheadBytes, made.bytes - takenBytes);
      takenBytes += rowText(count).length;
      count += 1;
    }
    expect(count).toBe(100_000);
    expect(takenBytes).toBe(made.bytes);
    expect(csv.readBytes()).toBe(made.bytes);
    expect(takenBytes).toBeGreaterThan(19_000_000);
    expect(aheadBytes).toBeLessThanOrEqual(AHEAD_BYTES_MAX);
  });

  it('waits while nobody reads', async () => {
    const { stream, made } = bigSource();
    const csv = await openCsv(stream, { bytesMax: 1e9 });
    await csv.records.next();
    for (let turn = 0; turn < 200; turn += 1) await new Promise(setImmediate);
    expect(made.bytes).toBeLessThanOrEqual(AHEAD_BYTES_MAX);
    await csv.records.return();
  });

  it('is destroyed when reading is left early, fails, or cannot begin', async () => {
    const { stream: left } = bigSource();
    for await (const record of (await openCsv(left, { bytesMax: 1e9 })).records)
      if (record.fields[0] === '50') break;
    expect(left.destroyed).toBe(true);

    const { stream: refused } = bigSource();
    const tooLong = await openCsv(refused, { bytesMax: 1_000 });
    await expect(toArray(tooLong.records)).rejects.toMatchObject({ code: 'too_large' });
    expect(refused.destroyed).toBe(true);

    const utf16 = Readable.from([Buffer.from('\uFEFFa,b', 'utf16le')], { objectMode: false });
    await expect(openCsv(utf16, { bytesMax: 100 })).rejects.toMatchObject({
      code: 'invalid_request',
    });
    await eventually(() => expect(utf16.destroyed).toBe(true));
  });

  it('fails with its own error, at the beginning and later', async () => {
    const broken = new Error('the store went away');
    const failing = (after: number): Readable =>
      Readable.from(
        (async function* chunks(): AsyncGenerator<Buffer> {
          for (let chunk = 0; chunk < after; chunk += 1) yield Buffer.from(filler(1_000));
          throw broken;
        })(),
        { objectMode: false },
      );
    await expect(openCsv(failing(0), { bytesMax: 1e9 })).rejects.toBe(broken);
    const csv = await openCsv(failing(20), { bytesMax: 1e9 });
    await expect(toArray(csv.records)).rejects.toBe(broken);
  });
});

async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
