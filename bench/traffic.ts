import { READS, WRITES, type Route } from './routes.ts';
import type { AccountWorld } from './world.ts';

export type Random = () => number;

export type Request = {
  /** What it is measured as. */
  readonly route: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly token: string;
};

export type Traffic = {
  next(random: Random): Request;
  /** A reader's own randomness, the same in every phase. */
  randomOf(reader: number): Random;
};

export type Caller = AccountWorld & { readonly token: string };

/** Of all requests. */
const WRITE_SHARE = 0.06;

/** What people do, in accounts as often as these are large, routes by their weights. */
export function createTraffic(
  callers: readonly Caller[],
  { seed, only }: { seed: number; only: string },
): Traffic {
  const isWanted = (route: Route): boolean => route.name.includes(only);
  const reads = choice(READS.filter(isWanted), ({ weight }) => weight);
  const writes = choice(WRITES.filter(isWanted), ({ weight }) => weight);
  const caller = choice(callers, ({ leadCount }) => leadCount);
  return {
    randomOf: (reader) => randomOf(seed * 1_000 + reader),
    next: (random) => {
      const who = caller?.(random);
      const isWrite = writes !== undefined && (reads === undefined || random() < WRITE_SHARE);
      const route = (isWrite ? writes : reads)?.(random);
      if (!who || !route) throw new Error('no route is left to ask');
      return { route: route.name, token: who.token, ...route.ask(who, random) };
    },
  };
}

/** Draws by weight; undefined when there is nothing to draw from. */
function choice<T>(
  list: readonly T[],
  weigh: (one: T) => number,
): ((random: Random) => T) | undefined {
  const [first] = list;
  if (first === undefined) return undefined;
  const total = list.reduce((sum, one) => sum + weigh(one), 0);
  return (random) => {
    let left = random() * total;
    return list.find((one) => (left -= weigh(one)) < 0) ?? first;
  };
}

/** mulberry32: small, even enough, the same everywhere. */
function randomOf(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
