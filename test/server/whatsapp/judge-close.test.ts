import { describe, expect, it } from 'vitest';
import { DEVICE_CODES, FINAL_DEVICE_CODES, sayingOf } from '../../../domain/device-status.ts';
import {
  judgeClose,
  reconnectMs,
  type Closed,
  type History,
  type Phase,
} from '../../../server/ingest/whatsapp/judge-close.ts';
import { readClose } from '../../../server/ingest/whatsapp/read-close.ts';
import { Reconnects } from '../../../server/ingest/whatsapp/reconnect.ts';

const PHASES: readonly Phase[] = ['connecting', 'pairing', 'open'];
const closed = (statusCode: number | undefined, more: Partial<Closed> = {}): Closed => ({
  kind: 'closed',
  statusCode,
  message: '',
  conflict: undefined,
  ...(more as object),
});
const CALM: History = { attempts: 1, badSessions: 0, replacements: 0 };
const judged = (of: Closed, phase: Phase = 'open', history: Partial<History> = {}) => {
  const verdict = judgeClose(of, phase, { ...CALM, ...history });
  return `${verdict.kind}${'code' in verdict ? ` ${verdict.code}` : ''}`;
};

describe('why a socket ended', () => {
  it.each<[what: string, closed: Closed, connecting: string, pairing: string, open: string]>([
    ['515', closed(515), 'again', 'again', 'again'],
    [
      '401',
      closed(401),
      'final logged_out_by_phone',
      'final pairing_expired',
      'final logged_out_by_phone',
    ],
    [
      'device_removed, whatever its number',
      closed(440, { conflict: 'device_removed' }),
      'final logged_out_by_phone',
      'final pairing_expired',
      'final logged_out_by_phone',
    ],
    ['403', closed(403), 'final banned', 'final banned', 'final banned'],
    ['405', closed(405), 'outdated', 'outdated', 'outdated'],
    [
      '411',
      closed(411),
      'final multi_device_mismatch',
      'final pairing_expired',
      'final multi_device_mismatch',
    ],
    ['440', closed(440), 'wait replaced', 'wait replaced', 'wait replaced'],
    ['428', closed(428), 'backoff no_answer', 'backoff connection_lost', 'backoff connection_lost'],
    ['408', closed(408), 'backoff no_answer', 'backoff connection_lost', 'backoff connection_lost'],
    [
      'no QR left',
      closed(408, { message: 'QR refs attempts ended' }),
      'backoff no_answer',
      'final pairing_expired',
      'backoff connection_lost',
    ],
    ['500', closed(500), 'backoff stream_error', 'backoff stream_error', 'backoff stream_error'],
    ['503', closed(503), 'backoff unavailable', 'backoff unavailable', 'backoff unavailable'],
    [
      'a number nobody knows',
      closed(499),
      'backoff stream_error',
      'backoff stream_error',
      'backoff stream_error',
    ],
    ['an exception of ours', closed(undefined), 'final fault', 'final fault', 'final fault'],
    [
      'HTTP instead of a WebSocket, whatever its number',
      { kind: 'refused', httpStatus: 403 },
      'backoff refused',
      'backoff refused',
      'backoff refused',
    ],
    ['silence', { kind: 'silent' }, 'backoff no_answer', 'backoff no_answer', 'backoff no_answer'],
  ])('%s', (_, of, ...expected) => {
    expect(PHASES.map((phase) => judged(of, phase))).toEqual(expected);
  });

  it('is a conflict when the session is taken over for the sixth time', () => {
    expect(judged(closed(440), 'open', { replacements: 5 })).toBe('wait replaced');
    expect(judged(closed(440), 'open', { replacements: 6 })).toBe('final conflict');
  });

  it('is a bad session when it ends for the fifth time right after a login', () => {
    expect(judged(closed(500), 'open', { badSessions: 4 })).toBe('backoff stream_error');
    expect(judged(closed(500), 'open', { badSessions: 5 })).toBe('final bad_session');
  });

  it('takes credentials away only when WhatsApp has unlinked the device', () => {
    for (const statusCode of [401, 403, 405, 408, 411, 428, 440, 500, 503, 515, undefined])
      for (const phase of PHASES) {
        const history = { attempts: 99, badSessions: 99, replacements: 99 };
        const verdict = judgeClose(closed(statusCode), phase, history);
        const isUnlinked = verdict.kind === 'final' && verdict.isUnlinked;
        const mayBe = (statusCode === 401 || statusCode === 411) && phase !== 'pairing';
        expect([statusCode, phase, isUnlinked]).toEqual([statusCode, phase, mayBe]);
      }
  });

  it('keeps a blocked number alone for a day, and a fault for a quarter of an hour', () => {
    expect(judgeClose(closed(403), 'open', CALM)).toMatchObject({ retryMs: 24 * 3_600_000 });
    expect(judgeClose(closed(undefined), 'open', CALM)).toMatchObject({
      retryMs: 15 * 60_000,
      isFault: true,
    });
  });
});

describe('the codes of a device', () => {
  it('that are final are no status of a device that somebody still works for', () => {
    for (const code of DEVICE_CODES) {
      const { status, says, isFinal } = sayingOf(code);
      expect([code, isFinal && ['pairing', 'connecting', 'connected'].includes(status)]).toEqual([
        code,
        false,
      ]);
      expect(says).toMatch(/^[A-Z].*\.$/);
      expect(says.length).toBeLessThanOrEqual(500);
    }
    expect(FINAL_DEVICE_CODES).toContain('conflict');
    expect(FINAL_DEVICE_CODES).not.toContain('connection_lost');
  });
});

describe('an error of Baileys', () => {
  it('has its number and the type of its conflict, or neither', () => {
    const boom = (statusCode: number, data?: unknown) =>
      Object.assign(new Error('Stream Errored'), { output: { statusCode }, data });
    expect(readClose(boom(428))).toEqual({
      kind: 'closed',
      statusCode: 428,
      message: 'Stream Errored',
      conflict: undefined,
    });
    const data = { tag: 'conflict', attrs: { type: 'device_removed' } };
    expect(readClose(boom(401, data))).toMatchObject({ conflict: 'device_removed' });
    for (const odd of [undefined, null, 'text', new TypeError('x'), { output: null }])
      expect(readClose(odd)).toMatchObject({ statusCode: undefined, conflict: undefined });
  });
});

describe('the time until the next try', () => {
  const usual = { minMs: 1_000, maxMs: 60_000 };
  it('is anything below a bound that doubles up to a minute, and after twenty tries to five', () => {
    const bounds = [1, 2, 3, 7, 20, 21, 1_000].map((attempts) => reconnectMs(attempts, usual, 1));
    expect(bounds).toEqual([1_000, 2_000, 4_000, 60_000, 60_000, 300_000, 300_000]);
    expect(reconnectMs(5, usual, 0)).toBe(0);
    expect(reconnectMs(5, usual, 0.5)).toBe(8_000);
  });
});

describe('what a device has been through', () => {
  it('is forgotten by a minute of being open, not by a login', () => {
    const reconnects = new Reconnects();
    let now = 0;
    const close = (statusCode: number, openMs?: number) => {
      if (openMs !== undefined) {
        reconnects.opened(now);
        now += openMs;
      }
      return reconnects.closed(closed(statusCode), 'open', now);
    };
    expect(close(428)).toMatchObject({ attempts: 1 });
    expect(close(428, 59_999)).toMatchObject({ attempts: 2 });
    expect(close(428, 60_000)).toMatchObject({ attempts: 1 });
    expect(close(428)).toMatchObject({ attempts: 2 });
  });

  it('counts ends right after a login in a row only', () => {
    const reconnects = new Reconnects();
    const close = (statusCode: number) => reconnects.closed(closed(statusCode), 'open', 0);
    expect([500, 500, 428, 500, 500].map((code) => close(code).badSessions)).toEqual([
      1, 2, 0, 1, 2,
    ]);
    reconnects.opened(0);
    expect(reconnects.closed(closed(500), 'open', 60_000).badSessions).toBe(0);
    expect(reconnects.closed(closed(500), 'pairing', 60_000).badSessions).toBe(0);
  });

  it('counts the takeovers of the last ten minutes', () => {
    const reconnects = new Reconnects();
    const minutes = [0, 1, 2, 3, 9, 10, 12];
    const counts = minutes.map(
      (minute) => reconnects.closed(closed(440), 'open', minute * 60_000).replacements,
    );
    expect(counts).toEqual([1, 2, 3, 4, 5, 5, 4]);
  });
});
