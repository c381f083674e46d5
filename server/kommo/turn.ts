/** Work that is done one after the other, in the order in which it was asked for. */
export type Turn = {
  /** Nobody is at it or waits. */
  isFree(): boolean;
  /** What the work gives, or throws. */
  take<T>(work: () => Promise<T>): Promise<T>;
};

export function createTurn(): Turn {
  let last: Promise<unknown> = Promise.resolve();
  let count = 0;
  return {
    isFree: () => count === 0,
    take: (work) => {
      count += 1;
      const mine = last.then(work).finally(() => {
        count -= 1;
      });
      last = mine.catch(() => undefined);
      return mine;
    },
  };
}
