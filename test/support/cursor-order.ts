import { parseCursor } from '../../domain/cursor.ts';

/** Strictly, within one epoch; an unknown cursor is before every other. */
export function isBefore(left: string | undefined, right: string | undefined): boolean {
  if (right === undefined) return false;
  if (left === undefined) return true;
  const [a, b] = [parseCursor(left), parseCursor(right)];
  if (!a || !b || a.epoch !== b.epoch) return false;
  return a.lsn < b.lsn;
}
