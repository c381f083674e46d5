/** Work of one name is done one at a time, in the order it came, each in its own async context. */
export type Turns = <T>(name: string, work: () => Promise<T>) => Promise<T>;

export function createTurns(): Turns {
  /** Until when a name is taken. */
  const taken = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = taken.get(name);
    const turn = (async () => {
      await before;
      return work();
    })();
    const done = turn.catch(() => undefined);
    taken.set(name, done);
    try {
      return await turn;
    } finally {
      if (taken.get(name) === done) taken.delete(name);
    }
  };
}
