import { describe, expect, test } from 'vitest';
import { computeTimings } from '../../replicator/standby-status.ts';
import { isStuck, watchStream, type StreamVitals } from '../../replicator/watchdog.ts';

const nowMs = 1_000_000;
const wedged: StreamVitals = {
  nowMs,
  emittedAtMs: nowMs - 1_000,
  returnedSentMs: nowMs - 61_000,
  lastReceivedAtMs: nowMs - 60_500,
  hasBacklog: false,
  stuckAfterMs: 60_000,
};

describe('the watchdog', () => {
  const cases: readonly [string, Partial<StreamVitals>, boolean][] = [
    ['heartbeats go out and nothing comes back', {}, true],
    ['none ever came back', { returnedSentMs: undefined }, true],
    ['the newest one came back', { returnedSentMs: nowMs - 1_000 }, false],
    ['a catch-up: bytes keep coming', { lastReceivedAtMs: nowMs - 100 }, false],
    ['a batch waits for Redis or for visibility', { hasBacklog: true }, false],
    ['Postgres takes no heartbeats', { emittedAtMs: undefined }, false],
    ['the silence is still short', { lastReceivedAtMs: nowMs - 59_000 }, false],
  ];
  test.each(cases)('[R25] %s', (_name, change, expected) => {
    expect(isStuck({ ...wedged, ...change })).toBe(expected);
  });

  test('[R25] a stuck stream ends the process as one to be started again', async () => {
    const watching = watchStream(() => wedged, new AbortController().signal);
    await expect(watching).rejects.toMatchObject({ code: 'replication_stuck' });
  });
});

describe('timings', () => {
  test('follow wal_sender_timeout', () => {
    expect(computeTimings(60_000)).toEqual({ statusIntervalMs: 10_000, stuckAfterMs: 60_000 });
    expect(computeTimings(4_000)).toEqual({ statusIntervalMs: 2_000, stuckAfterMs: 15_000 });
    expect(computeTimings(0)).toEqual({ statusIntervalMs: 10_000, stuckAfterMs: 60_000 });
    expect(computeTimings(100)).toMatchObject({ statusIntervalMs: 100 });
  });
});
