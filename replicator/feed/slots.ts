type Waiting = { key: number; start: () => void };

/** Lets at most `total` run at a time, and `perKey` of one key, first come first served among those that may. */
export class Slots {
  readonly #total: number;
  readonly #perKey: number;
  #running = 0;
  readonly #runningOf = new Map<number, number>();
  #waiting: Waiting[] = [];

  constructor(options: { total: number; perKey: number }) {
    this.#total = options.total;
    this.#perKey = options.perKey;
  }

  /** Resolves with the function that gives the slot back. */
  async take(key: number): Promise<() => void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push({ key, start: resolve });
      this.#next();
    });
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#running--;
      const left = (this.#runningOf.get(key) ?? 1) - 1;
      if (left === 0) this.#runningOf.delete(key);
      else this.#runningOf.set(key, left);
      this.#next();
    };
  }

  #next(): void {
    while (this.#running < this.#total) {
      const index = this.#waiting.findIndex(
        ({ key }) => (this.#runningOf.get(key) ?? 0) < this.#perKey,
      );
      const [waiting] = index < 0 ? [] : this.#waiting.splice(index, 1);
      if (!waiting) return;
      this.#running++;
      this.#runningOf.set(waiting.key, (this.#runningOf.get(waiting.key) ?? 0) + 1);
      waiting.start();
    }
  }
}
