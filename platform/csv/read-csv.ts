import type { Readable } from 'node:stream';
import { ClarinError } from '../../domain/errors.ts';
import {
  assertNotUtf16,
  detectEncoding,
  Transcoder,
  type CsvEncoding,
  type Head,
} from './encoding.ts';
import {
  RECORD_BYTES_MAX,
  RecordParser,
  recordTooLarge,
  type CsvRecord,
  type CsvSeparator,
} from './record-parser.ts';
import { detectSeparator } from './separator.ts';

/**
 * Reads a CSV file as a stream. The bytes are cut into pieces of one size, whatever sizes they come in, so that nothing
 * depends on where the network cut them; a piece is read when the records of the one before have been taken. In memory
 * are the head, a piece with its records, and a record that has not ended yet.
 */
/** Small, because nothing else runs while a piece is parsed: 10 to 20 ms when its records are of one character. */
const PIECE_BYTES = 4_096;
/** Encoding and separator are decided by this much. */
export const HEAD_BYTES_MAX = 65_536;
/** UTF-8 bytes of one field. */
export const FIELD_BYTES_MAX = 65_536;
export const COLUMNS_MAX = 500;

export type CsvOptions = {
  /** A file with more bytes is refused when the excess arrives. */
  readonly bytesMax: number;
  /** Instead of what the head says. */
  readonly encoding?: CsvEncoding;
  readonly separator?: CsvSeparator;
};

export type CsvFile = {
  readonly encoding: CsvEncoding;
  readonly separator: CsvSeparator;
  /**
   * In the order of the file, as they are: their widths may differ, and the first may be a header. To be read once. When
   * it ends, fails or is left early, the source is destroyed. Fails with the source's own error, or with ClarinError and
   * `details: {line}`: too_large (record, field, file), invalid_request (columns, open quote, NUL, not UTF-8). The last
   * records before a failure may not have been given.
   */
  readonly records: AsyncGenerator<CsvRecord, void, undefined>;
  /** Bytes of the file from which records have been made: grows while `records` is read, at the end the file's size. */
  readBytes(): number;
};

/**
 * Reads the head of a byte stream and decides how to read the file. The source belongs to this from now on, but whoever
 * does not begin to read `records` destroys it. @throws ClarinError invalid_request for UTF-16; what the source throws.
 */
export async function openCsv(source: Readable, options: CsvOptions): Promise<CsvFile> {
  const pieces = readPieces(source);
  try {
    const head: Buffer[] = [];
    while (head.length * PIECE_BYTES < HEAD_BYTES_MAX) {
      const next = await pieces.next();
      if (next.done) break;
      head.push(next.value);
    }
    const bytes = Buffer.concat(head);
    const isWhole = bytes.length < HEAD_BYTES_MAX;
    assertNotUtf16(bytes);
    const encoding = options.encoding ?? detectEncoding({ bytes, isWhole });
    const separator = options.separator ?? (await separatorOf({ bytes, isWhole }, encoding));
    const progress = { bytes: 0 };
    return {
      encoding,
      separator,
      records: readRecords({ head, pieces, encoding, separator, progress, ...options }),
      readBytes: () => progress.bytes,
    };
  } catch (error) {
    await pieces.return();
    throw error;
  }
}

async function separatorOf(head: Head, encoding: CsvEncoding): Promise<CsvSeparator> {
  return detectSeparator(new Transcoder(encoding).take(head.bytes), head.isWhole);
}

type Reading = {
  head: Buffer[];
  pieces: AsyncGenerator<Buffer, void, undefined>;
  encoding: CsvEncoding;
  separator: CsvSeparator;
  progress: { bytes: number };
  bytesMax: number;
};

async function* readRecords(reading: Reading): AsyncGenerator<CsvRecord, void, undefined> {
  const { progress, pieces } = reading;
  const transcoder = new Transcoder(reading.encoding);
  const parser = new RecordParser(reading.separator);
  try {
    for await (const piece of chain(reading.head, pieces)) {
      progress.bytes += piece.length;
      if (progress.bytes > reading.bytesMax) throw fileTooLarge(reading.bytesMax, transcoder.line);
      for (const record of await parser.take(transcoder.take(piece))) yield withinLimits(record);
    }
    transcoder.end();
    for (const record of await parser.end()) yield withinLimits(record);
  } finally {
    parser.destroy();
    await pieces.return();
  }
}

async function* chain(
  head: Buffer[],
  rest: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  yield* head;
  yield* rest;
}

/** The same bytes in pieces of PIECE_BYTES, the last shorter. Leaving it destroys the source. */
async function* readPieces(source: Readable): AsyncGenerator<Buffer, void, undefined> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    waiting.push(chunk);
    waitingBytes += chunk.length;
    if (waitingBytes < PIECE_BYTES) continue;
    const bytes = Buffer.concat(waiting);
    let start = 0;
    for (; bytes.length - start >= PIECE_BYTES; start += PIECE_BYTES)
      yield bytes.subarray(start, start + PIECE_BYTES);
    waiting = [bytes.subarray(start)];
    waitingBytes = bytes.length - start;
  }
  if (waitingBytes > 0) yield Buffer.concat(waiting);
}

function withinLimits(record: CsvRecord): CsvRecord {
  const { line, fields } = record;
  const sizes = fields.map((field) => Buffer.byteLength(field));
  const separators = fields.length - 1;
  if (sizes.reduce((sum, size) => sum + size, separators) > RECORD_BYTES_MAX)
    throw recordTooLarge(line);
  const details = { line };
  if (fields.length > COLUMNS_MAX)
    throw new ClarinError(
      'invalid_request',
      `the record that starts on line ${line} has more than ${COLUMNS_MAX} columns`,
      { details },
    );
  const column = sizes.findIndex((size) => size > FIELD_BYTES_MAX) + 1;
  if (column > 0)
    throw new ClarinError(
      'too_large',
      `column ${column} of the record that starts on line ${line} is longer than 64 KiB`,
      { details },
    );
  return record;
}

function fileTooLarge(bytesMax: number, line: number): ClarinError {
  return new ClarinError(
    'too_large',
    `the file is larger than ${bytesMax} bytes; it was read up to line ${line}`,
    { details: { line } },
  );
}
