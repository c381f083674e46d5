/** Versions of a key that are remembered: of an older one nobody asks. */
const REMEMBERED = 16;
const NEVER = 0xffff_ffff_ffff_ffffn;

/** Memory that threads share: whoever reads knows of a version in the moment in which its writer does. */
export type BoardMemory = {
  readonly newest: SharedArrayBuffer;
  readonly lower: SharedArrayBuffer;
  readonly upper: SharedArrayBuffer;
};

export function shareBoard(keys: number): BoardMemory {
  const bounds = (): SharedArrayBuffer => {
    const memory = new SharedArrayBuffer(keys * REMEMBERED * 8);
    new BigUint64Array(memory).fill(NEVER);
    return memory;
  };
  return { newest: new SharedArrayBuffer(keys * 4), lower: bounds(), upper: bounds() };
}

/**
 * Which version of a key a watermark stands for. A writer announces a version before it commits it. Where it alone writes
 * to its account, it knows an LSN that no commit but this one of the account lies behind (`lower`): a watermark at or
 * behind it has passed the commit. Afterwards it knows one behind the commit's end (`upper`): so does every watermark
 * behind that, whoever wrote.
 */
export class VersionBoard {
  readonly #newest: Int32Array;
  readonly #lower: BigUint64Array;
  readonly #upper: BigUint64Array;

  constructor(memory: BoardMemory) {
    this.#newest = new Int32Array(memory.newest);
    this.#lower = new BigUint64Array(memory.lower);
    this.#upper = new BigUint64Array(memory.upper);
  }

  announce(key: number): number {
    const version = this.newest(key) + 1;
    const at = placeOf(key, version);
    Atomics.store(this.#lower, at, NEVER);
    Atomics.store(this.#upper, at, NEVER);
    Atomics.store(this.#newest, key, version);
    return version;
  }

  /** Before the commit, and only where nobody else writes to the account. */
  promise(key: number, version: number, lower: bigint): void {
    Atomics.store(this.#lower, placeOf(key, version), lower);
  }

  settle(key: number, version: number, upper: bigint): void {
    Atomics.store(this.#upper, placeOf(key, version), upper);
  }

  /** It was rolled back: nothing stands for it. */
  forget(key: number, version: number): void {
    Atomics.store(this.#lower, placeOf(key, version), NEVER);
  }

  /** Announced, committed or not. */
  newest(key: number): number {
    return Atomics.load(this.#newest, key);
  }

  /**
   * The oldest version that may be shown at this watermark; 0 when none is known. `isOwn`: the watermark is a commit of the
   * key's account, and not the base of an epoch or a position, which may lie anywhere.
   */
  required(key: number, watermark: bigint, isOwn: boolean): number {
    const newest = this.newest(key);
    for (let version = newest; version > Math.max(0, newest - REMEMBERED); version--) {
      const at = placeOf(key, version);
      if (Atomics.load(this.#upper, at) <= watermark) return version;
      if (isOwn && Atomics.load(this.#lower, at) <= watermark) return version;
    }
    return 0;
  }
}

function placeOf(key: number, version: number): number {
  return key * REMEMBERED + (version % REMEMBERED);
}
