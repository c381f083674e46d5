/** Latencies of one route in one phase, in milliseconds. */
export class Samples {
  readonly #millis: number[] = [];
  #hits = 0;
  /** Reads that could have been hits. */
  #cached = 0;
  readonly #statuses = new Map<number, number>();

  /** All of theirs together. */
  static of(several: readonly (Samples | undefined)[]): Samples {
    const all = new Samples();
    for (const samples of several) {
      if (!samples) continue;
      all.#millis.push(...samples.#millis);
      all.#hits += samples.#hits;
      all.#cached += samples.#cached;
    }
    return all;
  }

  add(millis: number, answer: { status: number; cache: string | undefined }): void {
    this.#millis.push(millis);
    if (answer.cache === 'hit') this.#hits++;
    if (answer.cache === 'hit' || answer.cache === 'miss') this.#cached++;
    if (answer.status >= 300)
      this.#statuses.set(answer.status, (this.#statuses.get(answer.status) ?? 0) + 1);
  }

  get count(): number {
    return this.#millis.length;
  }

  /** From 0 to 1; undefined when the route keeps nothing. */
  get hitRate(): number | undefined {
    return this.#cached === 0 ? undefined : this.#hits / this.#cached;
  }

  /** Statuses from 300 on, and how often: none is expected. */
  get refused(): ReadonlyMap<number, number> {
    return this.#statuses;
  }

  /** The value that this share (0 to 1) of all does not exceed, by the nearest rank; 0 without any. */
  quantile(share: number): number {
    const sorted = this.#millis.toSorted((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  }
}

/** By the route's name. */
export type Measured = ReadonlyMap<string, Samples>;
