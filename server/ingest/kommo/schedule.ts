import { FIRST_CADENCE_MS, isActive, nextCadence, periodOf, type PassName } from './cadence.ts';

/** In the order in which they are done: leads refer to what the first ones bring. */
export const PASSES = ['reference', 'updated', 'events', 'deleted'] as const satisfies PassName[];

/** When each pass of a connection is due. Times are the clock's, ms. */
export class Schedule {
  readonly #due = new Map<PassName, number>();
  #cadenceMs: number = FIRST_CADENCE_MS;
  #activeAtMs: number | undefined;
  #stretch = 1;

  /** Until the next pass, as it was last set, but for the stretch. */
  get cadenceMs(): number {
    return this.#cadenceMs;
  }

  /** How long until the pass is due; 0 when it is. */
  waitMs(pass: PassName, nowMs: number): number {
    return Math.max(0, (this.#due.get(pass) ?? 0) - nowMs);
  }

  /** The pass is complete. */
  done(pass: PassName, { nowMs, stretch }: { nowMs: number; stretch: number }): void {
    this.#stretch = stretch;
    if (pass === 'updated')
      this.#cadenceMs = nextCadence(this.#cadenceMs, { nowMs, activeAtMs: this.#activeAtMs });
    this.#due.set(pass, nowMs + periodOf(pass, this.#cadenceMs, stretch));
  }

  /** Something changed at `atMs`, or somebody looks: from now on it is asked often. */
  activate(atMs: number, nowMs: number): void {
    this.#activeAtMs = Math.max(this.#activeAtMs ?? atMs, atMs);
    if (this.#cadenceMs === FIRST_CADENCE_MS) return;
    this.#cadenceMs = FIRST_CADENCE_MS;
    for (const [pass, dueAtMs] of this.#due) {
      const soonest = nowMs + periodOf(pass, this.#cadenceMs, this.#stretch);
      this.#due.set(pass, Math.min(dueAtMs, soonest));
    }
  }

  /** It is asked often already. */
  isActive(nowMs: number): boolean {
    return isActive({ nowMs, activeAtMs: this.#activeAtMs });
  }

  /** What is due now, whenever it was to be. */
  hasten(pass: PassName): void {
    this.#due.delete(pass);
  }
}
