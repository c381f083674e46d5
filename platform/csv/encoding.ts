import { isUtf8 } from 'node:buffer';
import { ClarinError } from '../../domain/errors.ts';

/** What a file may be written in. UTF-16 is refused: whoever can write it can write UTF-8. */
export const CSV_ENCODINGS = ['utf-8', 'windows-1252'] as const;
export type CsvEncoding = (typeof CSV_ENCODINGS)[number];

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const CR = 13;
const LF = 10;

/**
 * Windows-1252 is Latin-1 but for these, 0x80 to 0x9f in order. TextDecoder knows them too, but in many versions of
 * Node 20, 22 and 24 it takes the one for the other when it is not streaming (nodejs/node#60888).
 */
const UPPER_CONTROLS = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

/** The first bytes of a file; `isWhole` when there are no more. */
export type Head = { readonly bytes: Buffer; readonly isWhole: boolean };

/** @throws ClarinError invalid_request when the file is UTF-16, with its mark or without. */
export function assertNotUtf16(bytes: Buffer): void {
  const [first, second] = bytes;
  const hasMark = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  // A file that begins with a letter has one zero among the first two bytes then.
  if (!hasMark && !(bytes.length > 1 && (first === 0) !== (second === 0))) return;
  throw new ClarinError(
    'invalid_request',
    'the file is written in UTF-16; save it as UTF-8 ("CSV UTF-8" in a spreadsheet)',
    { details: { line: 1 } },
  );
}

/**
 * UTF-8 when the head is, which every plain ASCII file is as well; Windows-1252 otherwise. What comes after the head
 * is not known: `Transcoder` refuses a file that turns out to be neither what it began as.
 */
export function detectEncoding({ bytes, isWhole }: Head): CsvEncoding {
  if (bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)) return 'utf-8';
  return (isWhole ? isUtf8(bytes) : isUtf8Prefix(bytes)) ? 'utf-8' : 'windows-1252';
}

/** The bytes of a file in, the same text as UTF-8 out: checked, without its byte order mark. */
export class Transcoder {
  readonly #encoding: CsvEncoding;
  /** An UTF-8 sequence whose end has not come yet. */
  #unfinished: Buffer = Buffer.alloc(0);
  #isFirst = true;
  #isAfterCr = false;
  #line = 1;

  constructor(encoding: CsvEncoding) {
    this.#encoding = encoding;
  }

  /** Line of the file, from 1, to which the bytes taken so far have come. */
  get line(): number {
    return this.#line;
  }

  /** @throws ClarinError invalid_request with the line, at a NUL or at what is not UTF-8. */
  take(bytes: Buffer): Buffer {
    const nul = bytes.indexOf(0);
    if (nul >= 0)
      throw refusal('holds a NUL character: it is not a text file', this.#lineAt(bytes, nul));
    const text = this.#encoding === 'utf-8' ? this.#takeUtf8(bytes) : fromWindows1252(bytes);
    this.#line = this.#lineAt(bytes, bytes.length);
    this.#isAfterCr = bytes.length > 0 ? bytes[bytes.length - 1] === CR : this.#isAfterCr;
    return text;
  }

  /** Call at the end of the file. @throws ClarinError invalid_request when it ends within a character. */
  end(): void {
    if (this.#unfinished.length > 0) throw notUtf8(this.#line);
  }

  #takeUtf8(bytes: Buffer): Buffer {
    const all = this.#unfinished.length > 0 ? Buffer.concat([this.#unfinished, bytes]) : bytes;
    const whole = all.subarray(0, all.length - unfinishedBytes(all));
    if (!isUtf8(whole)) {
      const offset = firstInvalid(all) - this.#unfinished.length;
      throw notUtf8(this.#lineAt(bytes, offset));
    }
    this.#unfinished = all.subarray(whole.length);
    const hasMark =
      this.#isFirst && whole.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
    this.#isFirst &&= whole.length === 0;
    return hasMark ? whole.subarray(BYTE_ORDER_MARK.length) : whole;
  }

  /** CR, LF and CR LF each end a line, also when a piece ends between the two of the last. */
  #lineAt(bytes: Buffer, offset: number): number {
    let line = this.#line;
    let isAfterCr = this.#isAfterCr;
    for (let index = 0; index < offset; index += 1) {
      const byte = bytes[index];
      if (byte === CR || (byte === LF && !isAfterCr)) line += 1;
      isAfterCr = byte === CR;
    }
    return line;
  }
}

function refusal(what: string, line: number): ClarinError {
  return new ClarinError('invalid_request', `line ${line} ${what}`, { details: { line } });
}

function notUtf8(line: number): ClarinError {
  return refusal(
    'is not UTF-8 as the beginning of the file is; save it as UTF-8, or say that it is windows-1252',
    line,
  );
}

function fromWindows1252(bytes: Buffer): Buffer {
  const text = bytes
    .toString('latin1')
    .replace(/[\x80-\x9f]/g, (control) => UPPER_CONTROLS[control.charCodeAt(0) - 0x80] ?? control);
  return Buffer.from(text);
}

/** Bytes at the end that begin a UTF-8 sequence and do not finish it: 0 to 3. */
function unfinishedBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

function isUtf8Prefix(bytes: Buffer): boolean {
  return isUtf8(bytes.subarray(0, bytes.length - unfinishedBytes(bytes)));
}

/** Offset of the byte by which it is certain that these are not UTF-8. */
function firstInvalid(bytes: Buffer): number {
  let valid = 0;
  let invalid = bytes.length;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (isUtf8Prefix(bytes.subarray(0, middle))) valid = middle;
    else invalid = middle;
  }
  return invalid - 1;
}
