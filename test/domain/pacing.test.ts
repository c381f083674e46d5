import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterSend,
  estimateEnd,
  isAllowedAt,
  nextSendAt,
  PACING_BEGIN,
  type Pacing,
  type PacingState,
} from '../../domain/pacing.ts';

const LIMA: Pacing = {
  delaySecondsMin: 20,
  delaySecondsMax: 60,
  batchSize: 50,
  batchPauseSeconds: 600,
  dailyLimit: 500,
  activeFrom: undefined,
  activeTo: undefined,
  timeZone: 'America/Lima',
};

const at = (text: string): number => Date.parse(text);
const iso = (instant: number | undefined): string | undefined =>
  instant === undefined ? undefined : new Date(instant).toISOString();
const next = (pacing: Partial<Pacing>, state: Partial<PacingState>, now: string, random = 0) =>
  iso(nextSendAt({ ...LIMA, ...pacing }, { ...PACING_BEGIN, ...state }, at(now), () => random));

describe('the next message', () => {
  test('goes at once where none went before', () => {
    expect(next({}, {}, '2026-03-10T15:00:00Z')).toBe('2026-03-10T15:00:00.000Z');
  });

  test.each([
    [0, '2026-03-10T15:00:20.000Z'],
    [0.5, '2026-03-10T15:00:40.000Z'],
    [0.999, '2026-03-10T15:00:59.960Z'],
  ])('waits between the two delays, at random: %d', (random, expected) => {
    const state = { lastAt: at('2026-03-10T15:00:00Z'), batchCount: 1 };
    expect(next({}, state, '2026-03-10T15:00:00Z', random)).toBe(expected);
  });

  test('waits from the last one, not from now; and never goes in the past', () => {
    const state = { lastAt: at('2026-03-10T15:00:00Z'), batchCount: 1 };
    expect(next({}, state, '2026-03-10T15:00:15Z')).toBe('2026-03-10T15:00:20.000Z');
    expect(next({}, state, '2026-03-10T16:00:00Z')).toBe('2026-03-10T16:00:00.000Z');
  });

  test('waits for the pause when its batch is full, and for the delay again after that', () => {
    const lastAt = at('2026-03-10T15:00:00Z');
    const now = '2026-03-10T15:00:00Z';
    expect(next({}, { lastAt, batchCount: 49 }, now)).toBe('2026-03-10T15:00:20.000Z');
    expect(next({}, { lastAt, batchCount: 50 }, now)).toBe('2026-03-10T15:10:00.000Z');
    const after = afterSend(LIMA, { ...PACING_BEGIN, lastAt, batchCount: 50 }, lastAt);
    expect(after.batchCount).toBe(1);
  });

  test('waits for the next day of the account when the day is full', () => {
    const full = { day: '2026-03-10', dayCount: 500 };
    // Lima is five hours behind: its 10 March ends at 05:00.
    expect(next({}, full, '2026-03-11T04:59:59Z')).toBe('2026-03-11T05:00:00.000Z');
    expect(next({}, full, '2026-03-11T05:00:00Z')).toBe('2026-03-11T05:00:00.000Z');
    expect(next({}, { day: '2026-03-10', dayCount: 499 }, '2026-03-11T04:59:59Z')).toBe(
      '2026-03-11T04:59:59.000Z',
    );
  });

  test.each([
    ['before its hours', '09:00', '18:00', '2026-03-10T13:59:59Z', '2026-03-10T14:00:00.000Z'],
    ['when they begin', '09:00', '18:00', '2026-03-10T14:00:00Z', '2026-03-10T14:00:00.000Z'],
    ['just before their end', '09:00', '18:00', '2026-03-10T22:59:59Z', '2026-03-10T22:59:59.000Z'],
    ['at their end', '09:00', '18:00', '2026-03-10T23:00:00Z', '2026-03-11T14:00:00.000Z'],
    [
      'late in hours over midnight',
      '20:00',
      '02:00',
      '2026-03-11T06:59:00Z',
      '2026-03-11T06:59:00.000Z',
    ],
    [
      'early in hours over midnight',
      '20:00',
      '02:00',
      '2026-03-11T01:00:00Z',
      '2026-03-11T01:00:00.000Z',
    ],
    [
      'after hours over midnight',
      '20:00',
      '02:00',
      '2026-03-11T07:00:00Z',
      '2026-03-12T01:00:00.000Z',
    ],
    [
      'in hours that are the same',
      '09:00',
      '09:00',
      '2026-03-11T07:00:00Z',
      '2026-03-11T07:00:00.000Z',
    ],
  ])('%s', (_when, ...[activeFrom, activeTo, now, expected]) => {
    expect(next({ activeFrom, activeTo }, {}, now)).toBe(expected);
  });

  test('waits for the hours of the next day when the day is full, and for midnight in hours over midnight', () => {
    const full = { day: '2026-03-10', dayCount: 500 };
    const day = { activeFrom: '09:00', activeTo: '18:00' };
    expect(next(day, full, '2026-03-10T15:00:00Z')).toBe('2026-03-11T14:00:00.000Z');
    const night = { activeFrom: '20:00', activeTo: '02:00' };
    expect(next(night, full, '2026-03-11T02:00:00Z')).toBe('2026-03-11T05:00:00.000Z');
  });
});

describe('clocks that are changed', () => {
  const NEW_YORK = { timeZone: 'America/New_York' };

  test.each([
    // 8 March 2026, 02:00 becomes 03:00.
    [
      'hours that begin on the shorter day',
      '09:00',
      '18:00',
      '2026-03-08T05:30:00Z',
      '2026-03-08T13:00:00.000Z',
    ],
    [
      'hours that begin while the clocks skip',
      '02:30',
      '18:00',
      '2026-03-08T06:00:00Z',
      '2026-03-08T07:30:00.000Z',
    ],
    [
      'hours that the clocks skip',
      '02:15',
      '02:45',
      '2026-03-08T06:00:00Z',
      '2026-03-09T06:15:00.000Z',
    ],
    // 1 November 2026, 02:00 becomes 01:00.
    [
      'hours that begin on the longer day',
      '09:00',
      '18:00',
      '2026-11-01T04:30:00Z',
      '2026-11-01T14:00:00.000Z',
    ],
    [
      'an hour that comes twice, for the first time',
      '01:30',
      '18:00',
      '2026-11-01T04:30:00Z',
      '2026-11-01T05:30:00.000Z',
    ],
  ])('%s', (_when, ...[activeFrom, activeTo, now, expected]) => {
    expect(next({ ...NEW_YORK, activeFrom, activeTo }, {}, now)).toBe(expected);
  });

  test('end a day of 23 hours at its midnight, and one of 25', () => {
    const full = (day: string) => ({ day, dayCount: 500 });
    expect(next(NEW_YORK, full('2026-03-08'), '2026-03-08T12:00:00Z')).toBe(
      '2026-03-09T04:00:00.000Z',
    );
    expect(next(NEW_YORK, full('2026-11-01'), '2026-11-01T12:00:00Z')).toBe(
      '2026-11-02T05:00:00.000Z',
    );
  });

  test('begin a day without a midnight when it begins', () => {
    // Santiago's 6 September 2026 begins at 01:00.
    const full = { day: '2026-09-05', dayCount: 500 };
    expect(next({ timeZone: 'America/Santiago' }, full, '2026-09-05T20:00:00Z')).toBe(
      '2026-09-06T04:00:00.000Z',
    );
  });

  test('are never in the way: what is given is allowed, for any zone, hours and moment', () => {
    const time = fc
      .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
      .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(':'));
    fc.assert(
      fc.property(
        fc.constantFrom(
          'America/New_York',
          'America/Santiago',
          'Europe/Madrid',
          'Asia/Kathmandu',
          'Australia/Lord_Howe',
          'Pacific/Kiritimati',
          'UTC',
        ),
        fc.tuple(time, time),
        fc.integer({ min: at('2025-01-01T00:00:00Z'), max: at('2027-12-31T00:00:00Z') }),
        fc.boolean(),
        (timeZone, [activeFrom, activeTo], now, isFull) => {
          const pacing = { ...LIMA, timeZone, activeFrom, activeTo };
          const state = isFull
            ? { ...afterSend(pacing, PACING_BEGIN, now), lastAt: undefined, dayCount: 500 }
            : PACING_BEGIN;
          const given = nextSendAt(pacing, state, now, () => 0);
          expect(given).toBeGreaterThanOrEqual(now);
          expect(isAllowedAt(pacing, state, given)).toBe(true);
          expect(given - now).toBeLessThan(3 * 86_400_000);
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('the state after a message', () => {
  test('counts the batch and the day of the account, and begins the day anew', () => {
    const first = afterSend(LIMA, PACING_BEGIN, at('2026-03-11T04:59:00Z'));
    expect(first).toEqual({
      lastAt: at('2026-03-11T04:59:00Z'),
      batchCount: 1,
      day: '2026-03-10',
      dayCount: 1,
    });
    const second = afterSend(LIMA, first, at('2026-03-11T04:59:30Z'));
    expect(second).toMatchObject({ batchCount: 2, day: '2026-03-10', dayCount: 2 });
    const third = afterSend(LIMA, second, at('2026-03-11T05:00:00Z'));
    expect(third).toMatchObject({ batchCount: 3, day: '2026-03-11', dayCount: 1 });
  });
});

describe('the estimated end', () => {
  const end = (pacing: Partial<Pacing>, now: string, remaining: number, state = PACING_BEGIN) =>
    iso(estimateEnd({ ...LIMA, ...pacing }, state, at(now), remaining));
  const even = { delaySecondsMin: 60, delaySecondsMax: 60, batchPauseSeconds: 60 };

  test('follows the mean of the delays', () => {
    expect(end(even, '2026-03-10T15:00:00Z', 1)).toBe('2026-03-10T15:00:00.000Z');
    expect(end(even, '2026-03-10T15:00:00Z', 11)).toBe('2026-03-10T15:10:00.000Z');
    const uneven = { ...even, delaySecondsMin: 30, delaySecondsMax: 90 };
    expect(end(uneven, '2026-03-10T15:00:00Z', 11)).toBe('2026-03-10T15:10:00.000Z');
  });

  test('goes over nights and full days', () => {
    const hours = { ...even, activeFrom: '09:00', activeTo: '10:00' };
    // Sixty on the 10th, sixty on the 11th, one more.
    expect(end(hours, '2026-03-10T14:00:00Z', 121)).toBe('2026-03-12T14:00:00.000Z');
    const limited = { ...even, dailyLimit: 10 };
    expect(end(limited, '2026-03-10T15:00:00Z', 21)).toBe('2026-03-12T05:00:00.000Z');
    const used = { ...PACING_BEGIN, day: '2026-03-10', dayCount: 4 };
    expect(end(limited, '2026-03-10T15:00:00Z', 7, used)).toBe('2026-03-11T05:00:00.000Z');
  });

  test('of hours over midnight counts each day by itself', () => {
    const night = { ...even, activeFrom: '23:58', activeTo: '00:02', dailyLimit: 1 };
    // 23:58 of the 10th, 00:00 of the 11th; the 11th is full, so 00:00 of the 12th.
    expect(end(night, '2026-03-11T04:58:00Z', 3)).toBe('2026-03-12T05:00:00.000Z');
  });

  test('is absent when nothing remains, or after more than a year', () => {
    expect(end(even, '2026-03-10T15:00:00Z', 0)).toBeUndefined();
    expect(end({ ...even, dailyLimit: 1 }, '2026-03-10T15:00:00Z', 5_000)).toBeUndefined();
  });

  test('without any delay is now', () => {
    const none = { delaySecondsMin: 0, delaySecondsMax: 0, batchPauseSeconds: 0 };
    expect(end(none, '2026-03-10T15:00:00Z', 1)).toBe('2026-03-10T15:00:00.000Z');
  });
});
