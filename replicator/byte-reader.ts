import { ClarinError } from '../domain/errors.ts';
import { toLsn, type Lsn } from '../domain/lsn.ts';

export function malformed(why: string): ClarinError {
  return new ClarinError('internal', `the replication stream cannot be read: ${why}`);
}

/** A cursor over one frame that never reads beyond its end. */
export class ByteReader {
  readonly buffer: Buffer;
  at = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** Moves over `length` bytes and answers where they began. */
  take(length: number): number {
    const start = this.at;
    if (length < 0 || start + length > this.buffer.length)
      throw malformed(`it ends at byte ${this.buffer.length}`);
    this.at = start + length;
    return start;
  }

  byte(): number {
    return this.buffer.readUInt8(this.take(1));
  }

  int16(): number {
    return this.buffer.readUInt16BE(this.take(2));
  }

  int32(): number {
    return this.buffer.readInt32BE(this.take(4));
  }

  uint32(): number {
    return this.buffer.readUInt32BE(this.take(4));
  }

  int64(): bigint {
    return this.buffer.readBigInt64BE(this.take(8));
  }

  lsn(): Lsn {
    return toLsn(this.buffer.readBigUInt64BE(this.take(8)));
  }

  /** A string that ends with a zero byte. */
  cstring(): string {
    const end = this.buffer.indexOf(0, this.at);
    if (end < 0) throw malformed('a name does not end');
    const text = this.buffer.toString('utf8', this.at, end);
    this.at = end + 1;
    return text;
  }
}
