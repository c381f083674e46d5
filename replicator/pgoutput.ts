import { ClarinError } from '../domain/errors.ts';
import { toLsn, type Lsn } from '../domain/lsn.ts';

/**
 * Reads one message of pgoutput, protocol version 1, as it stands in an XLogData frame. Values stay where they are
 * until somebody asks for their text: a row that becomes part of a bulk marker is never turned into strings.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export type PgOutputMessage =
  | {
      readonly type: 'begin';
      readonly commitStart: Lsn;
      readonly committedAtMicros: bigint;
      readonly xid: number;
    }
  | {
      readonly type: 'commit';
      readonly commitStart: Lsn;
      readonly commitEnd: Lsn;
      readonly committedAtMicros: bigint;
    }
  | RelationMessage
  | { readonly type: 'type' | 'origin' }
  | { readonly type: 'insert'; readonly oid: number; readonly row: Tuple }
  | {
      readonly type: 'update';
      readonly oid: number;
      readonly old: Tuple | undefined;
      readonly row: Tuple;
    }
  | { readonly type: 'delete'; readonly oid: number; readonly old: Tuple }
  | { readonly type: 'truncate'; readonly oids: readonly number[] }
  | LogicalMessage;

export type RelationMessage = {
  readonly type: 'relation';
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  /** d default, n nothing, f full, i index. */
  readonly identity: string;
  readonly columns: readonly RelationColumn[];
};

type RelationColumn = {
  readonly name: string;
  readonly isKey: boolean;
  readonly typeOid: number;
  readonly typeModifier: number;
};

export type LogicalMessage = {
  readonly type: 'message';
  readonly isTransactional: boolean;
  /** Where the message's own record starts. */
  readonly lsn: Lsn;
  readonly prefix: string;
  /** Empty where it is larger than CONTENT_BYTES_MAX. */
  readonly content: string;
};

/**
 * Anybody may emit messages of up to a gigabyte, which no string holds: one that threw here would come again for ever.
 * Ours are a few KiB at most.
 */
export const CONTENT_BYTES_MAX = 64 * 1024;

/**
 * Where the values of a row are. It points into the buffer of the frame, which the socket layer writes over later:
 * whatever is wanted of it must be read before the next frame.
 */
export type Tuple = {
  readonly buffer: Buffer;
  readonly starts: readonly number[];
  readonly lengths: readonly number[];
};

const NULL = -1;
const UNCHANGED = -2;

/** Text of a value; null is SQL's, undefined an unchanged TOASTed value that was not sent. */
export function textOf(tuple: Tuple, index: number): string | null | undefined {
  const start = tuple.starts[index];
  const length = tuple.lengths[index];
  if (start === undefined || length === undefined) throw malformed(`a row has no value ${index}`);
  if (length < 0) return length === NULL ? null : undefined;
  return tuple.buffer.toString('utf8', start, start + length);
}

function malformed(why: string): ClarinError {
  return new ClarinError('internal', `the replication stream cannot be read: ${why}`);
}

/** A cursor over one frame that never reads beyond its end. */
class ByteReader {
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

  tuple(): Tuple {
    const count = this.int16();
    const starts: number[] = [];
    const lengths: number[] = [];
    for (let i = 0; i < count; i++) {
      const kind = this.byte();
      if (kind === 0x74 /* t */) {
        const length = this.int32();
        starts.push(this.take(length));
        lengths.push(length);
      } else if (kind === 0x6e /* n */ || kind === 0x75 /* u */) {
        starts.push(0);
        lengths.push(kind === 0x6e ? NULL : UNCHANGED);
      } else throw malformed(`a value is of kind ${kind}`);
    }
    return { buffer: this.buffer, starts, lengths };
  }
}

/** @throws ClarinError `internal` for bytes that are not exactly one message. */
export function readMessage(buffer: Buffer): PgOutputMessage {
  const reader = new ByteReader(buffer);
  const message = readBody(reader);
  if (reader.at !== buffer.length)
    throw malformed(`${buffer.length - reader.at} bytes are left over`);
  return message;
}

function readBody(reader: ByteReader): PgOutputMessage {
  const kind = String.fromCharCode(reader.byte());
  switch (kind) {
    case 'B':
      return {
        type: 'begin',
        commitStart: reader.lsn(),
        committedAtMicros: reader.int64(),
        xid: reader.uint32(),
      };
    case 'C':
      reader.byte();
      return {
        type: 'commit',
        commitStart: reader.lsn(),
        commitEnd: reader.lsn(),
        committedAtMicros: reader.int64(),
      };
    case 'R':
      return readRelation(reader);
    case 'Y':
      reader.uint32();
      reader.cstring();
      reader.cstring();
      return { type: 'type' };
    case 'O':
      reader.lsn();
      reader.cstring();
      return { type: 'origin' };
    case 'I':
      return { type: 'insert', oid: reader.uint32(), row: readNewTuple(reader) };
    case 'U':
      return readUpdate(reader);
    case 'D':
      return readDelete(reader);
    case 'T': {
      const count = reader.int32();
      reader.byte();
      return { type: 'truncate', oids: Array.from({ length: count }, () => reader.uint32()) };
    }
    case 'M':
      return readLogicalMessage(reader);
    default:
      throw malformed(`there is no message of kind ${JSON.stringify(kind)}`);
  }
}

function readNewTuple(reader: ByteReader): Tuple {
  if (reader.byte() !== 0x4e /* N */) throw malformed('a row is missing');
  return reader.tuple();
}

function readUpdate(reader: ByteReader): PgOutputMessage {
  const oid = reader.uint32();
  const kind = reader.buffer[reader.at];
  let old: Tuple | undefined;
  if (kind === 0x4b /* K */ || kind === 0x4f /* O */) {
    reader.byte();
    old = reader.tuple();
  }
  return { type: 'update', oid, old, row: readNewTuple(reader) };
}

function readDelete(reader: ByteReader): PgOutputMessage {
  const oid = reader.uint32();
  const kind = reader.byte();
  if (kind !== 0x4b && kind !== 0x4f) throw malformed('a delete has no key');
  return { type: 'delete', oid, old: reader.tuple() };
}

function readRelation(reader: ByteReader): RelationMessage {
  const oid = reader.uint32();
  const schema = reader.cstring();
  const table = reader.cstring();
  const identity = String.fromCharCode(reader.byte());
  const columns = Array.from({ length: reader.int16() }, () => ({
    isKey: (reader.byte() & 1) === 1,
    name: reader.cstring(),
    typeOid: reader.uint32(),
    typeModifier: reader.int32(),
  }));
  return {
    type: 'relation',
    oid,
    schema: schema === '' ? 'pg_catalog' : schema,
    table,
    identity,
    columns,
  };
}

function readLogicalMessage(reader: ByteReader): LogicalMessage {
  const isTransactional = (reader.byte() & 1) === 1;
  const lsn = reader.lsn();
  const prefix = reader.cstring();
  const length = reader.uint32();
  const start = reader.take(length);
  const content =
    length > CONTENT_BYTES_MAX ? '' : reader.buffer.toString('utf8', start, start + length);
  return { type: 'message', isTransactional, lsn, prefix, content };
}
