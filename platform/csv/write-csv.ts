import { guardFormula } from './formula-guard.ts';
import type { CsvSeparator } from './record-parser.ts';

/** Bytes are given in chunks of about this size, so that a row is not a write of its own. */
const CHUNK_CHARACTERS = 16_384;
const BYTE_ORDER_MARK = '\uFEFF';

export type WriteOptions = {
  readonly header: readonly string[];
  /** A comma unless said otherwise; a spreadsheet set to Spanish opens a semicolon without asking. */
  readonly separator?: CsvSeparator;
  /** Begins with a byte order mark, without which Excel does not take the file for UTF-8. */
  readonly hasByteOrderMark?: boolean;
};

/**
 * Rows in, CSV in UTF-8 out (RFC 4180: lines end in CR LF, quotes are doubled), after a row with the header. No field
 * is a formula to a spreadsheet, see formula-guard.ts. Rows are asked for when their bytes are; leaving early ends them.
 */
export async function* writeCsv(
  rows: AsyncIterable<readonly string[]>,
  options: WriteOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const separator = options.separator ?? ',';
  let waiting = options.hasByteOrderMark ? BYTE_ORDER_MARK : '';
  waiting += formatRow(options.header, separator);
  for await (const row of rows) {
    waiting += formatRow(row, separator);
    if (waiting.length < CHUNK_CHARACTERS) continue;
    yield Buffer.from(waiting);
    waiting = '';
  }
  yield Buffer.from(waiting);
}

function formatRow(fields: readonly string[], separator: CsvSeparator): string {
  // An empty line is no row, and this one is: it has a field.
  if (fields.length === 1 && fields[0] === '') return '""\r\n';
  return `${fields.map((field) => formatField(field, separator)).join(separator)}\r\n`;
}

function formatField(field: string, separator: CsvSeparator): string {
  const text = guardFormula(field);
  // A mark at the beginning of the first field would be taken for the file's own.
  const needsQuotes = text.includes(separator) || /["\r\n\uFEFF]/.test(text);
  return needsQuotes ? `"${text.replaceAll('"', '""')}"` : text;
}
