/**
 * How many rows may be found missing by one look at all of them. More than a few at once are no deletions, those are
 * told otherwise: somebody's rights were narrowed, or the token is of somebody else. Then nothing is deleted here.
 */
const MISSING_MAX = 200;
const MISSING_SHARE = 0.05;
/** Of few rows, one or two are soon more than a share. */
const MISSING_MIN = 2;

/** Whether it is believed that `missing` of `looked` rows were deleted. `looked` is what was looked at in the whole round. */
export function isBelievable(missing: number, looked: number): boolean {
  return missing <= Math.min(MISSING_MAX, Math.max(MISSING_MIN, looked * MISSING_SHARE));
}

/** Whether it is too many already, however many are still to be looked at. */
export function isHopeless(missing: number): boolean {
  return missing > MISSING_MAX;
}
