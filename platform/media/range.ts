import { ClarinError } from '../../domain/errors.ts';

/** Offsets of the first and the last byte, both included, as in `Content-Range`. */
export type ByteRange = { readonly start: number; readonly end: number };

/**
 * What a Range header asks of a file of `size` bytes (RFC 9110, section 14.1.2). `whole`: answer 200 with everything;
 * so it is without a header, and with one that must or may be ignored: another unit, several ranges, nonsense.
 * `unsatisfiable`: answer 416, whose Content-Range says the size. The caller looks at the method (GET only) and at
 * If-Range first.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | 'whole' | 'unsatisfiable' {
  const found = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '');
  const [, first = '', last = ''] = found ?? [];
  if (first === '' && last === '') return 'whole';
  if (first === '') {
    const suffix = Number(last);
    if (suffix === 0) return 'unsatisfiable';
    // The last bytes of nothing are satisfiable, but no Content-Range can say so.
    if (size === 0) return 'whole';
    return { start: Math.max(0, size - suffix), end: size - 1 };
  }
  const start = Number(first);
  const end = last === '' ? Number.POSITIVE_INFINITY : Number(last);
  if (isBackwards(first, last)) return 'whole';
  if (start >= size) return 'unsatisfiable';
  return { start, end: Math.min(end, size - 1) };
}

/** Of digits as text: beyond 2^53 numbers are too coarse to be compared. */
function isBackwards(first: string, last: string): boolean {
  return last !== '' && BigInt(last) < BigInt(first);
}

/**
 * The part of `range` that a file of `size` bytes has.
 * @throws ClarinError `internal` for one that begins beyond it: ranges come from `parseRange` and the size of the row.
 */
export function clampRange(range: ByteRange, size: number): ByteRange {
  assertRange(range);
  if (range.start >= size)
    throw new ClarinError('internal', 'a range begins beyond the end of a stored file');
  return { start: range.start, end: Math.min(range.end, size - 1) };
}

/** @throws ClarinError `internal` for what is no range of any file. */
export function assertRange({ start, end }: ByteRange): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start)
    throw new ClarinError('internal', 'this is not a range of bytes');
}
