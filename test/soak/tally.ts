/** What was seen, for the tables at the end. One for a whole soak; everybody adds to it. */
export class Tally {
  readonly counts = new Map<string, number>();
  /** The largest of each, with the unit in its name. */
  readonly worst = new Map<string, number>();
  /** Promises that were broken, in words, the first of them. */
  readonly broken: string[] = [];

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  note(name: string, value: number): void {
    this.worst.set(name, Math.max(this.worst.get(name) ?? -Infinity, value));
  }

  break(says: string): void {
    this.add('promises broken');
    if (this.broken.length < BROKEN_MAX) this.broken.push(says);
  }

  count(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  /** Counts whose names begin with it, without it, largest first. */
  under(prefix: string): [string, number][] {
    return [...this.counts]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, count]): [string, number] => [name.slice(prefix.length), count])
      .sort((left, right) => right[1] - left[1]);
  }
}

const BROKEN_MAX = 50;
