import { Readable } from 'node:stream';
import { openCsv, type CsvOptions } from '../../../platform/csv/read-csv.ts';
import type { CsvRecord } from '../../../platform/csv/record-parser.ts';

export type Opened = {
  encoding: string;
  separator: string;
  records: CsvRecord[];
  fields: string[][];
  lines: number[];
  readBytes: number;
};

/** Reads a whole file that comes in chunks of these sizes, repeated; all at once unless said otherwise. */
export async function readAll(
  file: string | Buffer,
  options: Partial<CsvOptions> = {},
  sizes: readonly number[] = [Number.MAX_SAFE_INTEGER],
): Promise<Opened> {
  const bytes = Buffer.from(file);
  const csv = await openCsv(Readable.from(chunksOf(bytes, sizes), { objectMode: false }), {
    bytesMax: bytes.length,
    ...options,
  });
  const records: CsvRecord[] = [];
  for await (const record of csv.records) records.push(record);
  return {
    encoding: csv.encoding,
    separator: csv.separator,
    records,
    fields: records.map(({ fields }) => fields),
    lines: records.map(({ line }) => line),
    readBytes: csv.readBytes(),
  };
}

function* chunksOf(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let start = 0;
  for (let turn = 0; start < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    yield bytes.subarray(start, start + size);
    start += size;
  }
}

/** What Windows-1252 has and Latin-1 has not, by the byte that it is. */
const UPPER: readonly [number, string][] = [
  ...runOf(0x80, '€'),
  ...runOf(0x82, '‚ƒ„…†‡ˆ‰Š‹Œ'),
  ...runOf(0x8e, 'Ž'),
  ...runOf(0x91, '‘’“”•–—˜™š›œ'),
  ...runOf(0x9e, 'žŸ'),
];
const LATIN1 = [...range(0x01, 0x7f), ...range(0xa0, 0xff)];

/** Every character of Windows-1252 but NUL, with its byte. */
export const WINDOWS_1252: ReadonlyMap<string, number> = new Map([
  ...LATIN1.map((byte) => [String.fromCharCode(byte), byte] as const),
  ...UPPER.map(([byte, character]) => [character, byte] as const),
]);

function runOf(first: number, characters: string): [number, string][] {
  return Array.from(characters, (character, index) => [first + index, character]);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** @throws Error for a character that it does not have. */
export function toWindows1252(text: string): Buffer {
  return Buffer.from(
    Array.from(text, (character) => {
      const byte = WINDOWS_1252.get(character);
      if (byte === undefined) throw new Error(`${character} is not in Windows-1252`);
      return byte;
    }),
  );
}
