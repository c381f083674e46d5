import { ClarinError } from '../../../domain/errors.ts';

/**
 * Whether the same may succeed later: a database that is away or busy, a row that somebody else was quicker with, a key
 * that is not the one it was sealed with until somebody sets it right. A fault of ours within a transaction looks like a
 * database that is away, and is none.
 */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof ClarinError)) return false;
  if (isFault(error.cause)) return false;
  const { code } = error;
  return (
    code === 'timeout' || code === 'conflict' || code === 'unavailable' || code === 'configuration'
  );
}

function isFault(error: unknown): boolean {
  return (
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof SyntaxError ||
    error instanceof ReferenceError
  );
}
