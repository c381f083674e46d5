import { CsvError, parse, type Parser } from 'csv-parse';
import { ClarinError } from '../../domain/errors.ts';

/** In the order in which detection decides a tie. */
export const CSV_SEPARATORS = [',', ';', '\t'] as const;
export type CsvSeparator = (typeof CSV_SEPARATORS)[number];

/** `line` is the line of the file, from 1, on which the record starts. */
export type CsvRecord = { readonly line: number; readonly fields: string[] };

/** Field texts and separators of one record, in UTF-8. */
export const RECORD_BYTES_MAX = 262_144;
/**
 * Bytes without the end of a record after which there will be none within the limit: one that is nothing but quoted
 * empty fields is three times as long in the file, and the piece it began in counts too.
 */
const STALL_BYTES_MAX = RECORD_BYTES_MAX * 4;

/**
 * UTF-8 bytes in, records out; the grammar is csv-parse's. Empty lines are no records. A quote in the middle of a field
 * is a character like another, and what follows a closing quote belongs to the field. A record of any width is one.
 */
export class RecordParser {
  readonly #parser: Parser;
  #records: CsvRecord[] = [];
  /** Line after the last record, which is where the next starts unless empty lines come between. */
  #nextLine = 1;
  #emptyLines = 0;
  #stalledBytes = 0;

  constructor(separator: CsvSeparator) {
    this.#parser = parse({
      delimiter: separator,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      max_record_size: 0,
      // Collected here and not read from the stream, so that the records of a piece are all there when it is taken.
      on_record: (fields: string[]) => {
        this.#collect(fields);
        return null;
      },
    });
    // Every failure comes to the callback of the write as well.
    this.#parser.on('error', () => undefined);
  }

  /** The records that end in these bytes. @throws ClarinError too_large with the line when one does not seem to end. */
  async take(bytes: Buffer): Promise<CsvRecord[]> {
    const emptyLinesBefore = this.#parser.info.empty_lines;
    await this.#settled((done) => this.#parser.write(bytes, done));
    const records = this.#drain();
    const isMoving = records.length > 0 || this.#parser.info.empty_lines > emptyLinesBefore;
    this.#stalledBytes = isMoving ? bytes.length : this.#stalledBytes + bytes.length;
    if (this.#stalledBytes > STALL_BYTES_MAX) throw recordTooLarge(this.#startLine());
    return records;
  }

  /** The record that the end of the file ends, if any. @throws ClarinError invalid_request at a quote left open. */
  async end(): Promise<CsvRecord[]> {
    await this.#settled((done) => this.#parser.end(done));
    return this.#drain();
  }

  destroy(): void {
    this.#parser.destroy();
  }

  #collect(fields: string[]): void {
    const line = this.#startLine();
    let breaks = 1;
    for (const field of fields) breaks += countLineBreaks(field);
    this.#nextLine = line + breaks;
    this.#emptyLines = this.#parser.info.empty_lines;
    this.#records.push({ line, fields });
    forgetWidth(this.#parser);
  }

  #startLine(): number {
    return this.#nextLine + this.#parser.info.empty_lines - this.#emptyLines;
  }

  #drain(): CsvRecord[] {
    const records = this.#records;
    this.#records = [];
    return records;
  }

  async #settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        start((error) => (error ? reject(error) : resolve()));
      });
    } catch (error) {
      if (!(error instanceof CsvError) || error.code !== 'CSV_QUOTE_NOT_CLOSED') throw error;
      const line = this.#startLine();
      throw new ClarinError(
        'invalid_request',
        `a quote opened in the record that starts on line ${line} is never closed`,
        { cause: error, details: { line } },
      );
    }
  }
}

/**
 * csv-parse 7.0.3 makes an error, with a stack and copies of its state, for every record that is not as wide as the
 * first, even where it is told to let them pass, and throws it away: 64 us each, half an hour for a file of 64 MiB
 * that is made for it (4 us without). It takes the width from the record that it counts as the first; so each is the first.
 */
function forgetWidth(parser: Parser): void {
  (parser.info as { records: number }).records = 0;
}

export function recordTooLarge(line: number): ClarinError {
  return new ClarinError(
    'too_large',
    `the record that starts on line ${line} is longer than 256 KiB; is a quote left open?`,
    { details: { line } },
  );
}

function countLineBreaks(field: string): number {
  if (!field.includes('\n') && !field.includes('\r')) return 0;
  return field.match(/\r\n|\r|\n/g)?.length ?? 0;
}
