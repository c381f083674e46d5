/** The writing half of pgoutput, for tests only: what a walsender would send. */
export type Value = { kind: 'text'; text: string } | { kind: 'null' } | { kind: 'unchanged' };

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16BE(value);
  return buffer;
};
const i32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
};
const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
};
const u64 = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt.asUintN(64, value));
  return buffer;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const letter = (value: string): Buffer => Buffer.from(value, 'latin1');

function tuple(values: readonly Value[]): Buffer {
  const parts = values.flatMap((value) => {
    if (value.kind === 'null') return [letter('n')];
    if (value.kind === 'unchanged') return [letter('u')];
    const bytes = Buffer.from(value.text);
    return [letter('t'), i32(bytes.length), bytes];
  });
  return Buffer.concat([u16(values.length), ...parts]);
}

export const begin = (lsn: bigint, micros: bigint, xid: number): Buffer =>
  Buffer.concat([letter('B'), u64(lsn), u64(micros), u32(xid)]);

export const commit = (lsn: bigint, end: bigint, micros: bigint): Buffer =>
  Buffer.concat([letter('C'), u8(0), u64(lsn), u64(end), u64(micros)]);

export const insert = (oid: number, values: readonly Value[]): Buffer =>
  Buffer.concat([letter('I'), u32(oid), letter('N'), tuple(values)]);

export const update = (
  oid: number,
  old: readonly Value[] | undefined,
  values: readonly Value[],
): Buffer =>
  Buffer.concat([
    letter('U'),
    u32(oid),
    ...(old ? [letter('K'), tuple(old)] : []),
    letter('N'),
    tuple(values),
  ]);

export const remove = (oid: number, old: readonly Value[]): Buffer =>
  Buffer.concat([letter('D'), u32(oid), letter('K'), tuple(old)]);

export const truncate = (oids: readonly number[]): Buffer =>
  Buffer.concat([letter('T'), i32(oids.length), u8(0), ...oids.map(u32)]);

export const logicalMessage = (
  lsn: bigint,
  prefix: string,
  content: string,
  isTransactional = true,
): Buffer => {
  const bytes = Buffer.from(content);
  return Buffer.concat([
    letter('M'),
    u8(isTransactional ? 1 : 0),
    u64(lsn),
    text(prefix),
    u32(bytes.length),
    bytes,
  ]);
};

export type Column = { name: string; isKey: boolean; typeOid: number };

export const relation = (
  oid: number,
  table: string,
  columns: readonly Column[],
  schema = 'public',
): Buffer =>
  Buffer.concat([
    letter('R'),
    u32(oid),
    text(schema),
    text(table),
    letter('i'),
    u16(columns.length),
    ...columns.flatMap((column) => [
      u8(column.isKey ? 1 : 0),
      text(column.name),
      u32(column.typeOid),
      i32(-1),
    ]),
  ]);
