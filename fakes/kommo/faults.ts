import { z } from 'zod';
import { ENDPOINTS, type Endpoint } from './endpoints.ts';
import { createRandom, type Random } from './random.ts';

/** What goes wrong with a request. Several may meet one; of those that answer in its place the first one does. */
const action = z.discriminatedUnion('kind', [
  /** Waits, before the request takes effect or behind it. */
  z.strictObject({
    kind: z.literal('latency'),
    ms: z.number().min(0),
    isAfter: z.boolean().default(false),
  }),
  /** The head and half of the body, then nothing until the client goes. */
  z.strictObject({ kind: z.literal('stall') }),
  /** Half of the body: then the connection closes, or, as `whole`, the answer looks complete. */
  z.strictObject({
    kind: z.literal('cut'),
    as: z.enum(['closed', 'whole']).default('closed'),
  }),
  /** A whole answer that is no JSON. */
  z.strictObject({ kind: z.literal('invalid-json') }),
  /** Another answer. With `isHandled` the request has taken effect: only its answer is lost. */
  z.strictObject({
    kind: z.literal('status'),
    status: z.int().min(200).max(599),
    as: z.enum(['json', 'html']).default('json'),
    isHandled: z.boolean().default(false),
    /** In the body, and in the header as well. */
    retryAfterSeconds: z.int().min(1).optional(),
  }),
  /** No answer: the connection is reset. */
  z.strictObject({ kind: z.literal('reset'), isHandled: z.boolean().default(false) }),
  z.strictObject({ kind: z.literal('content-type'), value: z.string() }),
  /** So many rows of the page twice, as far as its limit has room. */
  z.strictObject({ kind: z.literal('duplicates'), rows: z.int().min(1).default(1) }),
  /** Of the Date header, seconds: ahead when positive. */
  z.strictObject({ kind: z.literal('clock-offset'), seconds: z.int() }),
  /** So many rows of the list are edited behind this page and before the next one: the others move up. */
  z.strictObject({ kind: z.literal('edit'), rows: z.int().min(1).default(1) }),
]);
export type FaultAction = z.output<typeof action>;

export const faultInput = z.strictObject({
  endpoint: z.enum([...ENDPOINTS, '*']).default('*'),
  subdomain: z.string().optional(),
  address: z.string().optional(),
  does: action,
  /** Requests that fit and are left alone first. */
  skip: z.int().min(0).default(0),
  /** How often, then it is gone; for ever without. 1 for a single one. */
  times: z.int().min(1).optional(),
  /** Of the requests that fit, as the seed has it. */
  share: z.number().min(0).max(1).default(1),
});
export type FaultInput = z.input<typeof faultInput>;

export type Fault = z.output<typeof faultInput> & {
  readonly id: number;
  /** How often it has struck. */
  hits: number;
};

type Request = {
  readonly endpoint: Endpoint | undefined;
  readonly subdomain: string | undefined;
  readonly address: string;
};

const FAULTS_MAX = 1_000;

export class Faults {
  readonly #seed: number;
  #faults: { fault: Fault; random: Random; skipped: number }[] = [];
  #count = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** From the next request on. @throws RangeError when a thousand of them wait already, ZodError for what is none. */
  add(input: FaultInput): Fault {
    if (this.#faults.length >= FAULTS_MAX) throw new RangeError(`${FAULTS_MAX} faults at most`);
    this.#count += 1;
    const fault: Fault = { ...faultInput.parse(input), id: this.#count, hits: 0 };
    const random = createRandom(this.#seed, `fault ${this.#count}`);
    this.#faults.push({ fault, random, skipped: 0 });
    return fault;
  }

  list(): Fault[] {
    return this.#faults.map(({ fault }) => fault);
  }

  /** Gives whether it was there. */
  remove(id: number): boolean {
    const before = this.#faults.length;
    this.#faults = this.#faults.filter(({ fault }) => fault.id !== id);
    return this.#faults.length < before;
  }

  clear(): void {
    this.#faults = [];
  }

  /** What this request meets, in the order in which it was added; counts. */
  strike(request: Request): FaultAction[] {
    const struck = this.#faults.filter((each) => {
      const { fault, random } = each;
      if (!fits(fault, request)) return false;
      if (each.skipped < fault.skip) {
        each.skipped += 1;
        return false;
      }
      return fault.share === 1 || random.next() < fault.share;
    });
    for (const { fault } of struck) fault.hits += 1;
    this.#faults = this.#faults.filter(
      ({ fault }) => fault.times === undefined || fault.hits < fault.times,
    );
    return struck.map(({ fault }) => fault.does);
  }
}

/** Of the faults that a request met, the one that answers in its place. */
export function insteadOf(
  faults: readonly FaultAction[],
): (FaultAction & { kind: 'status' | 'reset' }) | undefined {
  return faults.find((fault) => fault.kind === 'status' || fault.kind === 'reset');
}

function fits(fault: Fault, request: Request): boolean {
  return (
    (fault.endpoint === '*' || fault.endpoint === request.endpoint) &&
    (fault.subdomain === undefined || fault.subdomain === request.subdomain) &&
    (fault.address === undefined || fault.address === request.address)
  );
}
