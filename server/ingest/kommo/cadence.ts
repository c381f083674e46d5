/**
 * How often a connection is asked. Where something happens, or somebody looks, every five seconds; where nothing does, less
 * and less, down to once a minute. When requests have to wait for their turn (Kommo's limit is for all connections behind
 * one address) everything is stretched until they no longer do.
 */
const FAST_MS = 5_000;
const SLOW_MS = 60_000;
const GROWTH = 1.5;
/** After a change, or a look, a connection is active for so long. */
const ACTIVE_MS = 2 * 60_000;

type Activity = {
  readonly nowMs: number;
  /** When something last changed, or somebody looked; undefined: not yet. */
  readonly activeAtMs: number | undefined;
};

export function isActive({ nowMs, activeAtMs }: Activity): boolean {
  return activeAtMs !== undefined && nowMs - activeAtMs < ACTIVE_MS;
}

/** Until the next pass over what changed, but for the stretch. `cadenceMs`: what it was before. */
export function nextCadence(cadenceMs: number, activity: Activity): number {
  if (isActive(activity)) return FAST_MS;
  return Math.min(SLOW_MS, Math.max(FAST_MS, cadenceMs * GROWTH));
}

export const FIRST_CADENCE_MS = FAST_MS;

/** Of each kind of pass when a connection is active; an idle one does none more often than its passes over changes. */
export const PERIODS_MS = {
  reference: 60_000,
  updated: 0,
  events: 15_000,
  deleted: 60_000,
} as const;
export type PassName = keyof typeof PERIODS_MS;

/** From the end of a pass to the next one of its kind. */
export function periodOf(pass: PassName, cadenceMs: number, stretch: number): number {
  return Math.max(PERIODS_MS[pass], cadenceMs) * stretch;
}

/** The sweep's requests: one in ten seconds, and a pause when it is round. */
export const SWEEP_REQUEST_MS = 10_000;
export const SWEEP_ROUND_MS = 10 * 60_000;
/** Requests of a nightly reconciliation: nobody waits for it, and reading everything at once looks suspicious to Kommo. */
export const NIGHTLY_REQUEST_MS = 2_000;

/** A request that takes longer than this has waited for its turn, or asks a server that has enough to do. */
const CROWDED_MS = 1_500;
const STRETCH_MAX = 16;

/**
 * How much everything is stretched, from what it was and how long a request took on average lately: up quickly, down
 * slowly, so that it does not swing.
 */
export function nextStretch(stretch: number, requestMs: number): number {
  if (requestMs > CROWDED_MS) return Math.min(STRETCH_MAX, stretch * 1.5);
  return Math.max(1, stretch * 0.95);
}

const DAY_MS = 24 * 3_600_000;
const NIGHT_BEGINS_HOUR = 1;
const NIGHT_HOURS = 4;

/**
 * When everything is read the next time: in the account's next night, each connection at a minute of its own.
 * `timezone`: IANA; one that is not known counts as UTC.
 */
export function nextNightly({
  afterMs,
  timezone,
  connectionId,
}: {
  afterMs: number;
  timezone: string;
  connectionId: number;
}): number {
  // Neighbours are far apart.
  const minute = (connectionId * 97) % (NIGHT_HOURS * 60);
  const wanted = (NIGHT_BEGINS_HOUR * 60 + minute) * 60_000;
  const local = afterMs + offsetOf(afterMs, timezone);
  const midnight = Math.floor(local / DAY_MS) * DAY_MS;
  const today = midnight + wanted - offsetOf(afterMs, timezone);
  return today > afterMs ? today : today + DAY_MS;
}

/** Milliseconds that clocks there are ahead of UTC. */
function offsetOf(atMs: number, timezone: string): number {
  try {
    const parts = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    }).formatToParts(atMs);
    const of = (type: string): number =>
      Number(parts.find((part) => part.type === type)?.value ?? 0);
    const there = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'));
    return there - Math.floor(atMs / 60_000) * 60_000;
  } catch {
    return 0;
  }
}
