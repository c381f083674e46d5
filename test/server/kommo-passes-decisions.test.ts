import { describe, expect, test } from 'vitest';
import type { KommoEvent, KommoLead } from '../../server/kommo/documents.ts';
import type { KommoFailure } from '../../server/kommo/errors.ts';
import {
  FIRST_CADENCE_MS,
  nextCadence,
  nextNightly,
  nextStretch,
  periodOf,
} from '../../server/ingest/kommo/cadence.ts';
import { chooseJob } from '../../server/ingest/kommo/choose-job.ts';
import {
  judgeFailure,
  warnOfExpiry,
  type FailedPass,
} from '../../server/ingest/kommo/judge-failure.ts';
import { isWorthSaving } from '../../server/ingest/kommo/lists.ts';
import { unknownIn } from '../../server/ingest/kommo/pass-reference.ts';
import { Schedule } from '../../server/ingest/kommo/schedule.ts';
import { sortEvents } from '../../server/ingest/kommo/sort-events.ts';
import { isBelievable, isHopeless } from '../../server/ingest/kommo/sweep-limits.ts';
import { endpointOf } from '../../server/ingest/kommo/watched-means.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

describe('the cadence', () => {
  test('is five seconds where something happens, and decays to a minute where nothing does', () => {
    const idle = { nowMs: 10 * MINUTE, activeAtMs: undefined };
    const steps = [FIRST_CADENCE_MS];
    while ((steps.at(-1) ?? 0) < 60_000) steps.push(nextCadence(steps.at(-1) ?? 0, idle));
    expect(steps).toEqual([5_000, 7_500, 11_250, 16_875, 25_312.5, 37_968.75, 56_953.125, 60_000]);
    expect(nextCadence(60_000, idle)).toBe(60_000);
    expect(nextCadence(60_000, { nowMs: 10 * MINUTE, activeAtMs: 8 * MINUTE + 1 })).toBe(5_000);
    expect(nextCadence(5_000, { nowMs: 10 * MINUTE, activeAtMs: 8 * MINUTE })).toBe(7_500);
  });

  test('of the other passes is their own, and never quicker than that', () => {
    expect(periodOf('updated', 5_000, 1)).toBe(5_000);
    expect(periodOf('events', 5_000, 1)).toBe(15_000);
    expect(periodOf('events', 60_000, 1)).toBe(60_000);
    expect(periodOf('reference', 60_000, 1)).toBe(60_000);
    expect(periodOf('deleted', 5_000, 4)).toBe(240_000);
  });

  test('is stretched while requests wait for their turn, and comes back slowly', () => {
    expect(nextStretch(1, 200)).toBe(1);
    expect(nextStretch(1, 4_000)).toBe(1.5);
    expect(nextStretch(16, 4_000)).toBe(16);
    expect(nextStretch(1.5, 0)).toBeCloseTo(1.425);
  });

  test('begins anew when somebody looks', () => {
    const schedule = new Schedule();
    for (let pass = 0; pass < 10; pass++) {
      schedule.done('updated', { nowMs: pass * MINUTE, stretch: 1 });
      schedule.done('events', { nowMs: pass * MINUTE, stretch: 1 });
    }
    expect(schedule.cadenceMs).toBe(60_000);
    expect(schedule.isActive(9 * MINUTE)).toBe(false);
    expect(schedule.waitMs('updated', 9 * MINUTE)).toBe(60_000);
    schedule.activate(9 * MINUTE, 9 * MINUTE);
    expect(schedule.waitMs('updated', 9 * MINUTE)).toBe(5_000);
    expect(schedule.waitMs('events', 9 * MINUTE)).toBe(15_000);
    expect(schedule.isActive(9 * MINUTE)).toBe(true);
    // Once more moves nothing further away.
    schedule.activate(9 * MINUTE + 4_000, 9 * MINUTE + 4_000);
    expect(schedule.waitMs('updated', 9 * MINUTE + 4_000)).toBe(1_000);
    schedule.hasten('updated');
    expect(schedule.waitMs('updated', 9 * MINUTE + 4_000)).toBe(0);
  });
});

test('everything is read once a night of the account, each connection at a minute of its own', () => {
  const at = (after: string, timezone: string, connectionId = 0): string =>
    new Date(nextNightly({ afterMs: Date.parse(after), timezone, connectionId })).toISOString();
  expect(at('2026-03-10T12:00:00Z', 'UTC')).toBe('2026-03-11T01:00:00.000Z');
  expect(at('2026-03-10T00:30:00Z', 'UTC')).toBe('2026-03-10T01:00:00.000Z');
  // Five hours behind.
  expect(at('2026-03-10T12:00:00Z', 'America/Lima')).toBe('2026-03-11T06:00:00.000Z');
  expect(at('2026-03-10T12:00:00Z', 'nowhere')).toBe('2026-03-11T01:00:00.000Z');
  const minutes = new Set(
    Array.from({ length: 200 }, (_, id) => at('2026-03-10T12:00:00Z', 'UTC', id)),
  );
  expect(minutes.size).toBe(200);
  expect([...minutes].every((text) => text < '2026-03-11T05:00')).toBe(true);
});

describe('what becomes of a connection that fails', () => {
  const NOW = 1_900_000_000_000;
  const judge = (
    kind: KommoFailure,
    {
      pass = 'updated',
      untilMs,
      ...failures
    }: Partial<{
      pass: FailedPass;
      untilMs: number;
      inARow: number;
      sinceMs: number;
      notFoundInARow: number;
    }> = {},
  ) =>
    judgeFailure({ kind, message: `It is ${kind}.`, untilMs }, pass, {
      failures: { inARow: 1, sinceMs: 0, notFoundInARow: 0, ...failures },
      nowMs: NOW,
      random: 0,
    });

  test('is said in a sentence, with when it goes on', () => {
    expect(judge('needs_reauth')).toEqual({
      state: { status: 'needs_reauth', reason: 'It is needs_reauth.', untilMs: undefined },
      waitMs: undefined,
      isOfPass: false,
    });
    expect(judge('payment_required')).toMatchObject({
      state: { status: 'paused', untilMs: NOW + 60 * MINUTE },
      waitMs: 60 * MINUTE,
    });
    expect(judge('rate_limited', { untilMs: NOW + 300_000 })).toMatchObject({
      state: { status: 'rate_limited', untilMs: NOW + 300_000 },
      waitMs: 300_000,
    });
    expect(judge('blocked', { untilMs: NOW + 15 * MINUTE })).toMatchObject({
      state: { status: 'blocked', untilMs: NOW + 15 * MINUTE },
      waitMs: 15 * MINUTE,
    });
  });

  test('is nothing that people are told of when it passes', () => {
    expect(judge('unavailable')).toEqual({ state: undefined, waitMs: 1_000, isOfPass: false });
    expect(judge('malformed', { sinceMs: 4 * MINUTE }).state).toBeUndefined();
    expect(judge('unavailable', { sinceMs: 5 * MINUTE }).state?.status).toBe('error');
    expect(judge('not_found', { notFoundInARow: 2 }).state).toBeUndefined();
    expect(judge('not_found', { notFoundInARow: 3 }).state?.status).toBe('error');
  });

  test('is tried again later and later, at most once a minute', () => {
    const waits = [1, 2, 3, 7, 50].map(
      (inARow) =>
        judgeFailure({ kind: 'unavailable', message: '', untilMs: undefined }, 'updated', {
          failures: { inARow, sinceMs: 0, notFoundInARow: 0 },
          nowMs: NOW,
          random: 0.999_999,
        }).waitMs ?? 0,
    );
    expect(waits.map(Math.round)).toEqual([2_000, 4_000, 8_000, 60_000, 60_000]);
  });

  test('is of the pass alone when only its rights are missing', () => {
    expect(judge('forbidden')).toMatchObject({ state: { status: 'error' }, isOfPass: true });
    expect(judge('forbidden', { pass: 'events' })).toMatchObject({
      state: undefined,
      isOfPass: true,
    });
    expect(judge('rejected')).toMatchObject({ state: { status: 'error' }, isOfPass: true });
  });

  test('is said ahead of the end of a token that does not renew itself, in three steps', () => {
    const at = (days: number, isRenewed = false) =>
      warnOfExpiry({ expiresAtMs: NOW + days * DAY, isRenewed }, NOW);
    expect(at(31)).toBeUndefined();
    expect(at(29)?.days).toBe(30);
    expect(at(8)?.days).toBe(30);
    expect(at(6)?.days).toBe(7);
    expect(at(0.5)?.days).toBe(1);
    expect(at(0.5, true)).toBeUndefined();
    expect(warnOfExpiry({ expiresAtMs: undefined, isRenewed: false }, NOW)).toBeUndefined();
    expect(at(6)?.sentence).toBe(
      'The token of this Kommo account ends on 2030-03-23, in less than 7 days. Make a new one there and connect it again.',
    );
  });
});

test('a few missing rows are deletions, more than a twentieth or 200 are not', () => {
  expect(isBelievable(2, 3)).toBe(true);
  expect(isBelievable(3, 10)).toBe(false);
  expect(isBelievable(5, 100)).toBe(true);
  expect(isBelievable(6, 100)).toBe(false);
  expect(isBelievable(200, 50_000)).toBe(true);
  expect(isBelievable(201, 50_000)).toBe(false);
  expect(isHopeless(200)).toBe(false);
  expect(isHopeless(201)).toBe(true);
});

describe('events', () => {
  let ids = 0;
  const event = (type: string, entity_id: number, created_at: number, entity_type = 'lead') =>
    ({ id: `e${ids++}`, type, entity_id, entity_type, created_at }) satisfies KommoEvent;

  test('are sorted by what is to be done, the last of each counts, in whatever order they come', () => {
    const { deleted, changed } = sortEvents([
      event('lead_restored', 1, 20),
      event('lead_deleted', 1, 10),
      event('lead_deleted', 2, 30),
      event('entity_tag_added', 2, 5),
      event('contact_deleted', 2, 40, 'contact'),
      event('entity_merged', 7, 1, 'contact'),
      event('company_deleted', 9, 1, 'company'),
    ]);
    expect(deleted).toEqual({ lead: new Map([[2, 30]]), contact: new Map([[2, 40]]) });
    expect(changed).toEqual({ lead: new Set([1]), contact: new Set([7]) });
  });

  test('of one second with a deletion among them are looked at', () => {
    const both = [event('lead_deleted', 1, 10), event('lead_restored', 1, 10)];
    for (const order of [both, both.toReversed()]) {
      const { deleted, changed } = sortEvents(order);
      expect(deleted.lead.size).toBe(0);
      expect(changed.lead).toEqual(new Set([1]));
    }
  });
});

describe('what is to be read as a whole', () => {
  const situation = {
    fullSync: 'none',
    followed: [7],
    loaded: { contacts: true, pipelines: [7] },
    begun: undefined,
    isNightlyDue: false,
    hasGap: false,
  } as const;
  const choose = (more: Partial<Parameters<typeof chooseJob>[0]>) =>
    chooseJob({ ...situation, ...more });

  test('is nothing until pipelines are followed, then everything, then what is followed besides', () => {
    const fresh = { contacts: false, pipelines: [] };
    expect(choose({ followed: [], loaded: fresh })).toEqual({ kind: 'none' });
    expect(choose({ loaded: fresh })).toEqual({ kind: 'begin', reason: 'first', pipelines: [7] });
    expect(choose({})).toEqual({ kind: 'none' });
    expect(choose({ followed: [7, 9] })).toEqual({
      kind: 'begin',
      reason: 'pipelines',
      pipelines: [9],
    });
  });

  test('is what people ask for before anything else', () => {
    const asked = { kind: 'begin', reason: 'asked', pipelines: [7] };
    expect(choose({ fullSync: 'pending', begun: 'nightly', hasGap: true })).toEqual(asked);
    expect(choose({ fullSync: 'pending', begun: 'first' })).toEqual(asked);
    expect(choose({ fullSync: 'running' })).toEqual(asked);
    expect(choose({ fullSync: 'running', begun: 'asked' })).toEqual({ kind: 'resume' });
    expect(choose({ fullSync: 'cancelled', begun: 'asked' })).toEqual({ kind: 'drop' });
    expect(choose({ fullSync: 'cancelled', begun: 'nightly' })).toEqual({ kind: 'resume' });
  });

  test('is what a gap or a night asks for', () => {
    expect(choose({ hasGap: true, isNightlyDue: true })).toMatchObject({ reason: 'gap' });
    expect(choose({ isNightlyDue: true })).toMatchObject({ reason: 'nightly' });
    expect(
      choose({ isNightlyDue: true, followed: [], loaded: { contacts: true, pipelines: [] } }),
    ).toEqual({ kind: 'none' });
  });
});

test('a cursor is saved behind a change, and now and then as a sign of life', () => {
  const move = { savedCursor: 100, savedAtMs: 0, cursor: 110, nowMs: 1_000, hasChanged: false };
  expect(isWorthSaving(move)).toBe(false);
  expect(isWorthSaving({ ...move, hasChanged: true })).toBe(true);
  expect(isWorthSaving({ ...move, hasChanged: true, cursor: 100 })).toBe(false);
  expect(isWorthSaving({ ...move, cursor: 100, nowMs: 30 * MINUTE })).toBe(true);
});

test('unknown stages and people of followed pipelines are named once', () => {
  const lead = (
    pipeline_id: number,
    status_id: number,
    responsible_user_id: number,
  ): KommoLead => ({
    id: 1,
    pipeline_id,
    status_id,
    responsible_user_id,
    created_at: 1,
    updated_at: 1,
  });
  const known = { statuses: new Set(['7 1']), users: new Set([5]) };
  expect(unknownIn(known, [7], [lead(7, 1, 5), lead(9, 3, 6), lead(7, 1, 0)])).toEqual([]);
  expect(unknownIn(known, [7], [lead(7, 2, 6), lead(7, 2, 6)])).toEqual(['7 2', 'user 6']);
  expect(unknownIn({ ...known, users: undefined }, [7], [lead(7, 1, 6)])).toEqual([]);
});

test('requests are counted by few names', () => {
  expect(endpointOf('https://a.kommo.com/api/v4/leads?page=2')).toBe('leads');
  expect(endpointOf('http://127.0.0.1:1/a/api/v4/leads/123?with=contacts')).toBe('leads/:id');
  expect(endpointOf('https://a.kommo.com/api/v4/leads/pipelines')).toBe('leads/pipelines');
  expect(endpointOf('https://a.kommo.com/oauth2/access_token')).toBe('oauth2/access_token');
});
