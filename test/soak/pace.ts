import { letPass, untilApplied } from './faults/seeing.ts';
import type { Tally } from './tally.ts';
import type { OwnWorld } from './world.ts';

/** What a commit takes on the average to come through the whole pipeline, beside writers who do not fill the machine. */
const USUAL_MS = 100;
/** What is slower than this cannot be excused by the machine. */
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
  #beforeMs = 0;

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
    this.#beforeMs = this.averageMs;
    this.#tripsMs = tripsMs;
    this.#tally.note('heartbeat on the average, ms', this.averageMs);
    this.#tally.note('heartbeat, slowest, ms', this.#slowestMs);
  }

  /** 1 on a machine that keeps up; by the slower one of the last two times, which are those around a fault. */
  get factor(): number {
    const averageMs = Math.max(this.averageMs, this.#beforeMs);
    return Math.min(FACTOR_MAX, Math.max(1, averageMs / USUAL_MS));
  }

  /** `120 ms on the average, 400 at most`. */
  get says(): string {
    return `${Math.round(this.averageMs)} ms on the average, ${Math.round(this.#slowestMs)} at most`;
  }

  /** Of the last time's trips. */
  get averageMs(): number {
    const sumMs = this.#tripsMs.reduce((sum, ms) => sum + ms, 0);
    return sumMs / Math.max(1, this.#tripsMs.length);
  }

  get #slowestMs(): number {
    return Math.max(0, ...this.#tripsMs);
  }
}
