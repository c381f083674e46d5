import { KommoError, sayFailure } from './errors.ts';
import type { RateStore, Reservation } from './rate-store.ts';

/** In the order in which they go: somebody waits; something is said to have changed; the regular look; the long way round. */
export const LANES = ['interactive', 'hint', 'poll', 'sweep'] as const;
export type Lane = (typeof LANES)[number];

type Wish = {
  readonly lane: Lane;
  /** Undefined: of no connection yet. */
  readonly connectionId: number | undefined;
  readonly signal: AbortSignal;
  /** Moments in a row, for a request that came too late for one. */
  readonly slots?: number;
};

/** Leave to send one request, now. */
export type Ticket = {
  /** By the limiter's clock: after this the moment is over, and another ticket is needed. */
  readonly startByMs: number;
};

export type KommoLimiter = {
  /**
   * Resolves when a request may leave. @throws KommoError `rate_limited` or `blocked` while requests rest, ClarinError when
   * Postgres is away, the signal's reason once it is aborted.
   */
  acquire(wish: Wish): Promise<Ticket>;
  /** Kommo asks for a pause: for every process that calls from this address. Gives when it ends, Unix ms. */
  rest(seconds: number): Promise<number>;
  /** Kommo has shut out this address. Gives when it is tried again, Unix ms. */
  shutOut(): Promise<number>;
};

type Options = {
  readonly store: RateStore;
  /** KOMMO_EGRESS. */
  readonly egress: string;
  readonly requestsPerSecond: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  /** Resolves after so many ms, not before; or as soon as the signal is aborted. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>;
};

/** How late a request may leave: with the network's part of it, less than what a rate below seven leaves free. */
const LATE_MS_MAX = 50;
const SLOTS_MAX = 16;
/** So long ahead a pause may come that was not there when the moment was reserved. */
const LOOK_AGAIN_MS = 100;
/** Far more than this process has passes: what waits beyond it waits for something that does not come. */
const WAITING_MAX = 10_000;
const TOO_MANY = 'Too many requests of Clarin wait for their turn at Kommo.';
const BLOCK_SECONDS = 15 * 60;
const BLOCK_SECONDS_MAX = 6 * 3_600;

type Waiter = Required<Wish> & {
  readonly grant: (ticket: Ticket) => void;
  readonly refuse: (reason: unknown) => void;
};

/**
 * The order in which this process' requests leave, in front of the moments that all processes share (RateStore).
 *
 * One moment is reserved at a time and belongs to nobody until it comes: then the first of the highest lane takes it. So
 * nobody of a low lane holds a moment while somebody of a higher one waits, and nobody else's turn is more than one moment
 * of each process away.
 *
 * A moment that passes before the request can leave (the process stood still, Postgres took long, a connection had to be
 * made) is void: late requests of several processes at once would be more than Kommo allows. When that keeps happening,
 * several moments in a row are reserved, and the request may leave during any of them.
 */
export function createLimiter(options: Options): KommoLimiter {
  const { store, egress } = options;
  const queue = createQueue();
  const buckets = { egress: `egress:${egress}`, blocked: `blocked:${egress}` };
  let turn: Promise<void> | undefined;
  let pauses = 0;
  const pause = async (bucket: string, seconds: number, secondsMax: number): Promise<number> => {
    pauses += 1;
    return store.pause({ bucket, seconds, secondsMax });
  };
  const start = (): void => {
    turn ??= grantAll({ ...options, queue, buckets, pauses: () => pauses }).finally(() => {
      turn = undefined;
      // Who came after the last look.
      if (queue.first()) start();
    });
  };
  return {
    acquire: async (wish) => {
      wish.signal.throwIfAborted();
      return new Promise((grant, refuse) => {
        queue.add({ slots: 1, ...wish, grant, refuse });
        start();
      });
    },
    rest: (seconds) => pause(buckets.egress, seconds, seconds),
    shutOut: () => pause(buckets.blocked, BLOCK_SECONDS, BLOCK_SECONDS_MAX),
  };
}

type Round = Options & {
  readonly queue: Queue;
  readonly buckets: { readonly egress: string; readonly blocked: string };
  /** Counts those of this process. */
  readonly pauses: () => number;
};

/** Grants moments until nobody waits. Never throws: what goes wrong is for those who wait. */
async function grantAll(round: Round): Promise<void> {
  let slots = 1;
  for (let first = round.queue.first(); first; first = round.queue.first()) {
    try {
      const isGranted = await grantOne(round, first, Math.max(slots, first.slots));
      slots = isGranted ? Math.max(1, slots / 2) : Math.min(SLOTS_MAX, slots * 2);
    } catch (error) {
      round.queue.refuseAll(error);
    }
  }
}

/** False: the moment was over before it could be granted. @throws KommoError while requests rest, ClarinError. */
async function grantOne(round: Round, first: Waiter, slots: number): Promise<boolean> {
  const { store, queue, now, sleep, requestsPerSecond, buckets } = round;
  const accountOf = ({ connectionId }: Waiter): string[] =>
    connectionId === undefined ? [] : [`account:${connectionId}`];
  const ask = async (wanted: readonly string[], waiter: Waiter): Promise<Granted> => {
    const pauses = [buckets.egress, buckets.blocked, ...accountOf(waiter)];
    const answer = await store.reserve({ buckets: wanted, pauses, requestsPerSecond, slots });
    if (answer.kind === 'paused') throw pausedError(answer, buckets.blocked);
    return answer;
  };
  const pausesBefore = round.pauses();
  const askedAtMs = now();
  const { waitMs, spacingMs } = await ask([buckets.egress, ...accountOf(first)], first);
  // The moment lies between these two by our clock; the earlier one counts for being late.
  const startByMs = askedAtMs + waitMs + (slots - 1) * spacingMs + LATE_MS_MAX;
  const nobody = queue.emptied();
  await sleep(waitMs, nobody);
  const next = queue.first();
  // Nobody waited any more, and the sleep may have ended early; who has come since gets a moment of his own.
  if (!next || nobody.aborted) return true;
  const isAnother = next.connectionId !== first.connectionId;
  if (isAnother || waitMs > LOOK_AGAIN_MS || round.pauses() !== pausesBefore) {
    const own = await ask(isAnother ? accountOf(next) : [], next);
    // Its account is busy through another address: its turn comes with a moment of both.
    if (own.waitMs > LATE_MS_MAX) return true;
  }
  if (now() > startByMs) return false;
  queue.take()?.grant({ startByMs });
  return true;
}

type Granted = Extract<Reservation, { kind: 'granted' }>;

function pausedError(
  { bucket, untilMs }: Extract<Reservation, { kind: 'paused' }>,
  blocked: string,
): KommoError {
  const kind = bucket === blocked ? 'blocked' : 'rate_limited';
  return new KommoError(kind, sayFailure(kind), { untilMs });
}

type Queue = ReturnType<typeof createQueue>;

/** Who waits, lane by lane. */
function createQueue() {
  const lanes = new Map<Lane, Waiter[]>(LANES.map((lane) => [lane, []]));
  let empty = new AbortController();
  const all = (): Waiter[] => [...lanes.values()].flat();
  const first = (): Waiter | undefined => {
    for (const waiters of lanes.values()) if (waiters[0]) return waiters[0];
    return undefined;
  };
  const remove = (waiter: Waiter): void => {
    const waiters = lanes.get(waiter.lane) ?? [];
    const at = waiters.indexOf(waiter);
    if (at >= 0) waiters.splice(at, 1);
    if (!first()) empty.abort();
  };
  return {
    first,
    /** Aborted as soon as nobody waits any more. */
    emptied: (): AbortSignal => empty.signal,
    add(wish: Waiter): void {
      if (all().length >= WAITING_MAX) return wish.refuse(new KommoError('unavailable', TOO_MANY));
      if (empty.signal.aborted) empty = new AbortController();
      const settle = (then: () => void): void => {
        wish.signal.removeEventListener('abort', onAbort);
        then();
      };
      const waiter: Waiter = {
        ...wish,
        grant: (ticket) => settle(() => wish.grant(ticket)),
        refuse: (reason) => settle(() => wish.refuse(reason)),
      };
      const onAbort = (): void => {
        remove(waiter);
        wish.refuse(wish.signal.reason);
      };
      wish.signal.addEventListener('abort', onAbort, { once: true });
      lanes.get(wish.lane)?.push(waiter);
    },
    take(): Waiter | undefined {
      const waiter = first();
      if (waiter) remove(waiter);
      return waiter;
    },
    refuseAll(reason: unknown): void {
      const waiters = all();
      for (const waiter of waiters) remove(waiter);
      for (const waiter of waiters) waiter.refuse(reason);
    },
  };
}
