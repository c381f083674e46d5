/** One measured promise: what was seen, what was promised, and whether that holds. */
export type Figure = {
  readonly name: string;
  readonly value: string;
  /** Undefined for what is only worth knowing. */
  readonly bound?: string;
  readonly holds: boolean;
};

export type ScenarioOptions = {
  /** 1 is the size the issue states; CI runs a fraction of it. */
  readonly scale: number;
  readonly say: (line: string) => void;
};

/** Starts services and processes of its own and ends them. @throws Error when something never happens. */
export type Scenario = (options: ScenarioOptions) => Promise<readonly Figure[]>;

/** A figure with a bound, in the same unit. */
export function bounded(
  name: string,
  value: number,
  limit: { below: number; unit: string },
): Figure {
  const { below, unit } = limit;
  const show = (one: number): string => `${one < 10 ? one.toFixed(1) : Math.round(one)} ${unit}`;
  return { name, value: show(value), bound: `< ${show(below)}`, holds: value < below };
}

/** A figure that must be exactly this. */
export function exactly(name: string, value: number | string, wanted: number | string): Figure {
  return { name, value: String(value), bound: `= ${wanted}`, holds: value === wanted };
}

export function noted(name: string, value: string): Figure {
  return { name, value, holds: true };
}
