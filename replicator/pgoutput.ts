import type { Lsn } from '../domain/lsn.ts';
import { ByteReader, malformed } from './byte-reader.ts';

/**
 * Reads one message of pgoutput, protocol version 2, as it stands in an XLogData frame. Values stay where they are
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
  | LogicalMessage
  /** What follows, up to `stream stop`, is of a transaction that has not ended. */
  | { readonly type: 'stream start'; readonly xid: number }
  | { readonly type: 'stream stop' }
  | {
      readonly type: 'stream commit';
      readonly xid: number;
      readonly commitStart: Lsn;
      readonly commitEnd: Lsn;
      readonly committedAtMicros: bigint;
    }
  /** `subxid` was rolled back: a savepoint of the transaction, or all of it where both are the same. */
  | { readonly type: 'stream abort'; readonly xid: number; readonly subxid: number };

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

function readTuple(reader: ByteReader): Tuple {
  const count = reader.int16();
  const starts: number[] = [];
  const lengths: number[] = [];
  for (let i = 0; i < count; i++) {
    const kind = reader.byte();
    if (kind === 0x74 /* t */) {
      const length = reader.int32();
      starts.push(reader.take(length));
      lengths.push(length);
    } else if (kind === 0x6e /* n */ || kind === 0x75 /* u */) {
      starts.push(0);
      lengths.push(kind === 0x6e ? NULL : UNCHANGED);
    } else throw malformed(`a value is of kind ${kind}`);
  }
  return { buffer: reader.buffer, starts, lengths };
}

/** Messages that name their transaction where several are under way. */
const WITH_XID = 'IUDTRYM';

/** The (sub)transaction that a streamed change is of; undefined where the message names none. */
export function streamedXidOf(buffer: Buffer): number | undefined {
  const kind = String.fromCharCode(buffer[0] ?? 0);
  return WITH_XID.includes(kind) && buffer.length >= 5 ? buffer.readUInt32BE(1) : undefined;
}

/**
 * `isStreamed`: between `stream start` and `stream stop`, where messages have one field more.
 * @throws ClarinError `internal` for bytes that are not exactly one message.
 */
export function readMessage(buffer: Buffer, isStreamed = false): PgOutputMessage {
  const reader = new ByteReader(buffer);
  const message = readBody(reader, isStreamed);
  if (reader.at !== buffer.length)
    throw malformed(`${buffer.length - reader.at} bytes are left over`);
  return message;
}

function readBody(reader: ByteReader, isStreamed: boolean): PgOutputMessage {
  const kind = String.fromCharCode(reader.byte());
  if (isStreamed && WITH_XID.includes(kind)) reader.uint32();
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
      return readStreaming(reader, kind);
  }
}

function readStreaming(reader: ByteReader, kind: string): PgOutputMessage {
  switch (kind) {
    case 'S': {
      const xid = reader.uint32();
      reader.byte();
      return { type: 'stream start', xid };
    }
    case 'E':
      return { type: 'stream stop' };
    case 'c': {
      const xid = reader.uint32();
      reader.byte();
      return {
        type: 'stream commit',
        xid,
        commitStart: reader.lsn(),
        commitEnd: reader.lsn(),
        committedAtMicros: reader.int64(),
      };
    }
    case 'A':
      return { type: 'stream abort', xid: reader.uint32(), subxid: reader.uint32() };
    default:
      throw malformed(`there is no message of kind ${JSON.stringify(kind)}`);
  }
}

function readNewTuple(reader: ByteReader): Tuple {
  if (reader.byte() !== 0x4e /* N */) throw malformed('a row is missing');
  return readTuple(reader);
}

function readUpdate(reader: ByteReader): PgOutputMessage {
  const oid = reader.uint32();
  const kind = reader.buffer[reader.at];
  let old: Tuple | undefined;
  if (kind === 0x4b /* K */ || kind === 0x4f /* O */) {
    reader.byte();
    old = readTuple(reader);
  }
  return { type: 'update', oid, old, row: readNewTuple(reader) };
}

function readDelete(reader: ByteReader): PgOutputMessage {
  const oid = reader.uint32();
  const kind = reader.byte();
  if (kind !== 0x4b && kind !== 0x4f) throw malformed('a delete has no key');
  return { type: 'delete', oid, old: readTuple(reader) };
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
