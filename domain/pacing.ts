/**
 * When a campaign may send its next message. All instants are milliseconds since 1970; days and hours are those of the
 * account's time zone, whatever its clocks do. Who calls gives the clock and the dice.
 */
export type Pacing = {
  /** Between two messages, at random. */
  readonly delaySecondsMin: number;
  readonly delaySecondsMax: number;
  /** After so many messages the pause stands in place of the delay. */
  readonly batchSize: number;
  readonly batchPauseSeconds: number;
  /** Messages per day of the time zone. */
  readonly dailyLimit: number;
  /** HH:MM. From is in it, to is not. From later than to: over midnight. The same, or absent: at all hours. */
  readonly activeFrom: string | undefined;
  readonly activeTo: string | undefined;
  readonly timeZone: string;
};

/** What a campaign has sent so far, as far as its pace is concerned. */
export type PacingState = {
  readonly lastAt: number | undefined;
  /** Since it began or last paused. */
  readonly batchCount: number;
  /** The day `dayCount` counts, as YYYY-MM-DD. */
  readonly day: string | undefined;
  readonly dayCount: number;
};

export const PACING_BEGIN: PacingState = {
  lastAt: undefined,
  batchCount: 0,
  day: undefined,
  dayCount: 0,
};

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/**
 * The first moment at which the next message may be sent, never before `now`. `random` gives a number from 0 to less
 * than 1, and is asked once at most.
 */
export function nextSendAt(
  pacing: Pacing,
  state: PacingState,
  now: number,
  random: () => number,
): number {
  if (state.lastAt === undefined) return firstAllowed(pacing, state, now);
  const { delaySecondsMin: min, delaySecondsMax: max } = pacing;
  const seconds =
    state.batchCount >= pacing.batchSize ? pacing.batchPauseSeconds : min + (max - min) * random();
  return firstAllowed(pacing, state, Math.max(now, state.lastAt + Math.round(seconds * 1_000)));
}

/** Whether a message may be sent at this moment, as far as the day and its hours go. */
export function isAllowedAt(pacing: Pacing, state: PacingState, at: number): boolean {
  return firstAllowed(pacing, state, at) === at;
}

/** The state after one more message. */
export function afterSend(pacing: Pacing, state: PacingState, at: number): PacingState {
  const day = dayOf(localOf(pacing.timeZone, at));
  return {
    lastAt: at,
    batchCount: state.batchCount >= pacing.batchSize ? 1 : state.batchCount + 1,
    day,
    dayCount: state.day === day ? state.dayCount + 1 : 1,
  };
}

/** Days an estimate looks ahead; what ends later has no end worth naming. */
const ESTIMATED_DAYS_MAX = 400;

/**
 * When the last of `remaining` messages will be sent if nothing keeps it, from `now`, by the mean of the delays.
 * Undefined: nothing remains, or it takes more than a year.
 */
export function estimateEnd(
  pacing: Pacing,
  state: PacingState,
  now: number,
  remaining: number,
): number | undefined {
  if (remaining <= 0) return undefined;
  const delay = (pacing.delaySecondsMin + pacing.delaySecondsMax) / 2;
  const perBatch = delay * (pacing.batchSize - 1) + pacing.batchPauseSeconds;
  // Nothing is sent in no time: a millisecond keeps the arithmetic finite.
  const stepMs = Math.max(1, (perBatch / pacing.batchSize) * 1_000);
  let left = remaining;
  let at = firstAllowed(pacing, state, now);
  let sentOn = state;
  for (let span = 0; span < ESTIMATED_DAYS_MAX * 2; span++) {
    const local = localOf(pacing.timeZone, at);
    const day = dayOf(local);
    const used = sentOn.day === day ? sentOn.dayCount : 0;
    const end = endOfSpan(pacing, local);
    const room = Math.min(pacing.dailyLimit - used, Math.ceil((end - at) / stepMs));
    if (left <= room) return Math.round(at + (left - 1) * stepMs);
    left -= room;
    sentOn = { ...sentOn, day, dayCount: used + room };
    at = firstAllowed(pacing, sentOn, Math.max(end, at + 1));
  }
  return undefined;
}

/** The first moment, `at` or later, on a day with room and in its hours. */
function firstAllowed(pacing: Pacing, state: PacingState, at: number): number {
  const { timeZone } = pacing;
  let candidate = at;
  // A day that is full, hours that have not begun, hours that the clocks skipped: no more can come in a row.
  for (let move = 0; move < 4; move++) {
    const local = localOf(timeZone, candidate);
    if (state.day === dayOf(local) && state.dayCount >= pacing.dailyLimit) {
      candidate = instantOf(timeZone, nextMidnight(local));
      continue;
    }
    const hours = hoursOf(pacing);
    if (!hours || isWithin(hours, local)) return candidate;
    const from = midnight(local) + hours.from;
    candidate = instantOf(timeZone, from > local ? from : from + DAY_MS);
  }
  return candidate;
}

type Hours = { readonly from: number; readonly to: number };

/** Milliseconds after midnight. Undefined: at all hours. */
function hoursOf({ activeFrom, activeTo }: Pacing): Hours | undefined {
  if (activeFrom === undefined || activeTo === undefined || activeFrom === activeTo)
    return undefined;
  return { from: sinceMidnight(activeFrom), to: sinceMidnight(activeTo) };
}

function sinceMidnight(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return (hours * 60 + minutes) * MINUTE_MS;
}

function isWithin({ from, to }: Hours, local: number): boolean {
  const time = local - midnight(local);
  return from < to ? from <= time && time < to : time >= from || time < to;
}

/** When the hours or the day that `local` is in are over, whichever comes first. An instant. */
function endOfSpan(pacing: Pacing, local: number): number {
  const hours = hoursOf(pacing);
  const to = hours ? midnight(local) + hours.to : Infinity;
  const end = to > local ? Math.min(to, nextMidnight(local)) : nextMidnight(local);
  return instantOf(pacing.timeZone, end);
}

/*
 * Local time is held as what the wall clock shows, in milliseconds as if it were UTC: arithmetic on it is that of the
 * calendar, and only the way there and back knows of the zone.
 */

function midnight(local: number): number {
  return Math.floor(local / DAY_MS) * DAY_MS;
}

function nextMidnight(local: number): number {
  return midnight(local) + DAY_MS;
}

function dayOf(local: number): string {
  return new Date(local).toISOString().slice(0, 10);
}

/** What the clocks of the zone show. */
function localOf(timeZone: string, instant: number): number {
  return instant + offsetAt(timeZone, instant);
}

/** When the clocks show it for the first time; where they skip it, as if they had not been changed yet. */
function instantOf(timeZone: string, local: number): number {
  const before = offsetAt(timeZone, local - DAY_MS);
  const after = offsetAt(timeZone, local + DAY_MS);
  const [first, second] = [local - Math.max(before, after), local - Math.min(before, after)];
  for (const instant of [first, second]) if (localOf(timeZone, instant) === local) return instant;
  return local - before;
}

/** Asking for an offset is slow; an estimate asks for hundreds of days. */
const OFFSETS = new Map<string, number>();
const OFFSETS_MAX = 10_000;

/** Clocks are changed once a day at most: a day that begins and ends with one offset has it all along. */
function offsetAt(timeZone: string, instant: number): number {
  const begin = Math.floor(instant / DAY_MS) * DAY_MS;
  const offset = keptOffset(timeZone, begin);
  return keptOffset(timeZone, begin + DAY_MS) === offset ? offset : readOffset(timeZone, instant);
}

function keptOffset(timeZone: string, instant: number): number {
  const key = `${timeZone} ${instant}`;
  const kept = OFFSETS.get(key);
  if (kept !== undefined) return kept;
  if (OFFSETS.size >= OFFSETS_MAX) OFFSETS.clear();
  const offset = readOffset(timeZone, instant);
  OFFSETS.set(key, offset);
  return offset;
}

/** Making one is slow, and there are no more than zones. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

function readOffset(timeZone: string, instant: number): number {
  let format = FORMATS.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    FORMATS.set(timeZone, format);
  }
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of format.formatToParts(instant)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  const shown = Date.UTC(year, month - 1, day, hour, minute, second);
  return shown - Math.floor(instant / 1_000) * 1_000;
}
