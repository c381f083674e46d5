/** Numbers that look random and are the same for the same seed. */
export type Random = {
  /** At least 0, less than 1. */
  next(): number;
  /** Whole, at least 0, less than `count`. */
  below(count: number): number;
  /** @throws RangeError for an empty list. */
  pick<T>(list: readonly T[]): T;
  /** So many digits of it. */
  hex(length: number): string;
};

/** `purpose` separates streams of one seed: what one draws does not move the others. */
export function createRandom(seed: number, purpose = ''): Random {
  // A counter, mixed: more than enough to make up customers.
  let count = mix(hashText(purpose) ^ mix(seed | 0));
  const next = (): number => mix((count = (count + 0x9e3779b9) | 0)) / 0x1_0000_0000;
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    pick: <T>(list: readonly T[]): T => {
      if (list.length === 0) throw new RangeError('nothing to pick from');
      return list[below(list.length)] as T;
    },
    hex: (length) => Array.from({ length }, () => below(16).toString(16)).join(''),
  };
}

/** The same share, 0 to 1, for the same row and salt: who is hidden, who comes first in a tie. */
export function shareOf(id: number, salt: number): number {
  return mix(id ^ mix(salt)) / 0x1_0000_0000;
}

/** FNV-1a, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** Every bit of the input reaches every bit of the result, 32 bits without a sign: the last step of MurmurHash3. */
function mix(input: number): number {
  let mixed = Math.imul(input ^ (input >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
