import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { guardFormula, unguardFormula } from '../../../platform/csv/formula-guard.ts';
import { CSV_SEPARATORS } from '../../../platform/csv/record-parser.ts';
import { writeCsv, type WriteOptions } from '../../../platform/csv/write-csv.ts';
import { readAll, toWindows1252, WINDOWS_1252 } from './support.ts';

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function written(rows: string[][], options: WriteOptions): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of writeCsv(each(rows), options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a written file', { timeout: 30_000 }, () => {
  it('has a header, quotes only where they are needed, and lines that end in CR LF', async () => {
    const rows = [
      ['Ana "la jefa"', 'a,b'],
      ['', 'two\nlines'],
      ['x;y', ' z '],
    ];
    expect(await written(rows, { header: ['name', 'notes'] })).toBe(
      'name,notes\r\n"Ana ""la jefa""","a,b"\r\n,"two\nlines"\r\nx;y, z \r\n',
    );
  });

  it('begins with a byte order mark when asked to, and has a header without rows', async () => {
    const options = { header: ['a', 'ñ'], separator: ';', hasByteOrderMark: true } as const;
    expect(await written([], options)).toBe('\uFEFFa;ñ\r\n');
  });

  const row = (text: fc.Arbitrary<string>): fc.Arbitrary<string[][]> =>
    fc.integer({ min: 1, max: 6 }).chain((width) =>
      fc.array(fc.array(text, { minLength: width, maxLength: width }), {
        minLength: 1,
        maxLength: 8,
      }),
    );
  const character = fc
    .integer({ min: 1, max: 0x10ffff })
    .map((code) => String.fromCodePoint(code))
    .filter((one) => one.isWellFormed());
  const special = [
    '"',
    '""',
    ',',
    ';',
    '\t',
    '\r',
    '\n',
    '\r\n',
    "'",
    '=',
    '+',
    '-',
    '@',
    '\uFEFF',
  ];
  const cut = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 });

  it.each(CSV_SEPARATORS)(
    'of any text in UTF-8 is read as it was, separated by %j',
    async (one) => {
      const text = fc.oneof(
        fc.string({ unit: character }),
        fc.array(fc.constantFrom(...special, 'a', '😀')).map((parts) => parts.join('')),
      );
      await fc.assert(
        fc.asyncProperty(row(text), fc.boolean(), cut, async (rows, hasByteOrderMark, sizes) => {
          const [header = [], ...rest] = rows;
          const file = await written(rest, { header, separator: one, hasByteOrderMark });
          const { fields } = await readAll(file, { separator: one }, sizes);
          expect(fields.map((record) => record.map(unguardFormula))).toEqual(rows);
        }),
        { numRuns: 100 },
      );
    },
  );

  it.each(CSV_SEPARATORS)(
    'of any text that Windows-1252 has is read as it was in that, separated by %j',
    async (one) => {
      const unit = fc.constantFrom(...WINDOWS_1252.keys());
      await fc.assert(
        fc.asyncProperty(row(fc.string({ unit })), cut, async (rows, sizes) => {
          const [header = [], ...rest] = rows;
          const file = toWindows1252(await written(rest, { header, separator: one }));
          const options = { separator: one, encoding: 'windows-1252' } as const;
          const { fields } = await readAll(file, options, sizes);
          expect(fields.map((record) => record.map(unguardFormula))).toEqual(rows);
        }),
        { numRuns: 100 },
      );
    },
  );

  it('asks for rows only as its bytes are taken, and ends them when it is left', async () => {
    let asked = 0;
    let isEnded = false;
    const rows = (async function* endless(): AsyncGenerator<string[]> {
      try {
        for (;;) {
          asked += 1;
          yield ['x'.repeat(99)];
        }
      } finally {
        isEnded = true;
      }
    })();
    const chunks = writeCsv(rows, { header: ['a'] });
    const first = await chunks.next();
    expect((first.value as Buffer).length).toBeGreaterThan(16_000);
    expect(asked).toBeLessThan(200);
    await chunks.return();
    expect(isEnded).toBe(true);
  });
});

describe('a text that a spreadsheet would run', () => {
  it.each([
    '=1+1',
    '+SUM(A1)',
    '-2+3',
    '@SUM(A1)',
    '\t=1',
    '\tx',
    '\rx',
    '\nx',
    ' =1+1',
    '=HYPERLINK("http://x","y")',
    "=cmd|' /C calc'!A0",
    '+51-987-654',
    '+51 987 x',
    '-',
    '+',
    '＝1+1',
    "'=1+1",
    "''@x",
  ])('gets an apostrophe, and loses it again: %j', (text) => {
    expect(guardFormula(text)).toBe(`'${text}`);
    expect(unguardFormula(`'${text}`)).toBe(text);
  });

  it.each([
    '+51987654321',
    '+51 987 654 321',
    '-12.50',
    '-1,5',
    'a=b',
    "'a",
    "'+51 987",
    'x-y',
    '',
  ])('is none of a phone number, an amount or a plain text: %j', (text) => {
    expect(guardFormula(text)).toBe(text);
    expect(unguardFormula(text)).toBe(text);
  });
});
