/** What was seen, for the tables at the end. One for a whole soak; everybody adds to it. */
export class Tally {
  readonly counts = new Map<string, number>();
  /** The largest of each, with the unit in its name. */
  readonly worst = new Map<string, number>();
  /** Promises that were broken, in words. */
  readonly broken: string[] = [];

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  note(name: string, value: number): void {
    this.worst.set(name, Math.max(this.worst.get(name) ?? -Infinity, value));
  }

  /** Of each kind the first few: one slip of the code breaks hundreds. `where`: whose it is, which is not part of the kind. */
  break(where: string, says: string): void {
    this.add('promises broken');
    const kind = `broken: ${says.replaceAll(/\S*\d\S*/g, '#').slice(0, 40)}`;
    this.add(kind);
    if (this.count(kind) <= OF_A_KIND_MAX) this.broken.push(`${where}: ${says}`);
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

const OF_A_KIND_MAX = 3;
