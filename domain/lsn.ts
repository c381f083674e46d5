/**
 * Log sequence numbers. An LSN is a byte position in the write-ahead log: 64 bits, a bigint inside,
 * `16/B374D848` at the edges (HTTP, feed, logs) and 16 upper-case hex digits in Redis, where text
 * of fixed width compares like the number. LSN text of Postgres itself must never be compared.
 * https://www.postgresql.org/docs/current/datatype-pg-lsn.html
 */
export type Lsn = bigint & { readonly __brand: 'Lsn' };

export const LSN_ZERO = 0n as Lsn;
/** Behind everything that will ever be written. */
export const LSN_MAX = 0xffffffffffffffffn as Lsn;

/** @throws RangeError when the number does not fit 64 unsigned bits. */
export function toLsn(value: bigint): Lsn {
  if (value < 0n || value > LSN_MAX) throw new RangeError(`not an LSN: ${value}`);
  return value as Lsn;
}

/** Reads `X/Y` in either padding. Undefined when the text is not an LSN. */
export function parseLsn(text: string): Lsn | undefined {
  const match = /^([0-9a-fA-F]{1,8})\/([0-9a-fA-F]{1,8})$/.exec(text);
  if (!match) return undefined;
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** @throws RangeError for text that is not an LSN: use where Postgres itself wrote it. */
export function mustParseLsn(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw new RangeError(`not an LSN: ${text}`);
  return lsn;
}

/** `16/B374D848`, as Postgres prints it. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** 16 upper-case hex digits: the form kept in Redis. */
export function lsnToHex(lsn: Lsn): string {
  return lsn.toString(16).toUpperCase().padStart(16, '0');
}

/** @throws SyntaxError when the text is not hexadecimal. */
export function lsnFromHex(hex: string): Lsn {
  return BigInt(`0x${hex}`) as Lsn;
}

export function maxLsn(left: Lsn, right: Lsn): Lsn {
  return left > right ? left : right;
}
