import { letPass, untilApplied } from './faults/seeing.ts';
import type { Tally } from './tally.ts';
import type { OwnWorld } from './world.ts';

/** What a commit takes to come through the whole pipeline, beside all writers, on two cores that do nothing else. */
const USUAL_MS = 60;
/** A machine that is slower than this is not the one to judge times on, but the promises say times. */
const FACTOR_MAX = 6;
const MARKS = 8;

/**
 * How fast the machine is now, by what a heartbeat takes: limits that are stated for a machine of its own are stretched by it.
 * Measured only while nothing is broken, so that no fault stretches its own limit.
 */
export class Pace {
  readonly #world: OwnWorld;
  readonly #tally: Tally;
  #tripsMs: readonly number[] = [];

  constructor(world: OwnWorld, tally: Tally) {
    this.#world = world;
    this.#tally = tally;
  }

  /** For about so long: what is measured counts until the next time. @throws Error when a commit is not applied at all. */
  async measure(ms: number): Promise<void> {
    const tripsMs: number[] = [];
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) {
      tripsMs.push(await untilApplied(this.#world));
      await letPass(ms / MARKS);
    }
    this.#tripsMs = tripsMs.sort((left, right) => left - right);
    this.#tally.note('heartbeat, middle of a round, ms', this.#middleMs);
    this.#tally.note('heartbeat, slowest, ms', this.slowestMs);
  }

  /** The slowest trip of the last time. */
  get slowestMs(): number {
    return this.#tripsMs.at(-1) ?? 0;
  }

  /** 1 on a machine that does nothing else. */
  get factor(): number {
    return Math.min(FACTOR_MAX, Math.max(1, this.#middleMs / USUAL_MS));
  }

  /** `40 to 90 ms, the middle one 50`. */
  get says(): string {
    const [fastest = 0, middle, slowest] = [this.#tripsMs[0], this.#middleMs, this.slowestMs];
    return `${Math.round(fastest)} to ${Math.round(slowest)} ms, the middle one ${Math.round(middle)}`;
  }

  get #middleMs(): number {
    return this.#tripsMs[Math.floor(this.#tripsMs.length / 2)] ?? 0;
  }
}
