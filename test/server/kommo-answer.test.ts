import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  judgeAnswer,
  nextDelay,
  serverSecondsOf,
  smallerLimit,
  type Answer,
} from '../../server/kommo/answer.ts';
import { cleanDetail, sayFailure, type KommoFailure } from '../../server/kommo/errors.ts';

const answer = (status: number, body: unknown = '', headers: Answer['headers'] = {}): Answer => ({
  status,
  headers,
  text: typeof body === 'string' ? body : JSON.stringify(body),
});
const HTML = '<html><head><title>403 Forbidden</title></head></html>';
const failureOf = (given: Answer) => {
  const outcome = judgeAnswer(given);
  return outcome.kind === 'failed' ? outcome.failure : outcome.kind;
};

describe('an answer of Kommo', () => {
  it.each([
    [200, { a: 1 }, 'value'],
    [204, '', 'empty'],
    [200, '', 'malformed'],
    [200, HTML, 'malformed'],
    [200, '{"_embedded":{"leads":[{"id"', 'malformed'],
    [301, HTML, 'not_found'],
    [302, '', 'not_found'],
    [400, { title: 'Bad Request' }, 'rejected'],
    [401, { title: 'Unauthorized' }, 'needs_reauth'],
    [401, HTML, 'needs_reauth'],
    [402, { title: 'Payment Required' }, 'payment_required'],
    [403, { title: 'Forbidden' }, 'forbidden'],
    [403, HTML, 'blocked'],
    [403, '', 'blocked'],
    [403, '"no"', 'blocked'],
    [404, { title: 'Not Found' }, 'not_found'],
    [405, '', 'rejected'],
    [408, '', 'unavailable'],
    [414, HTML, 'rejected'],
    [422, { detail: 'Limit 250 per page' }, 'rejected'],
    [429, HTML, 'rate_limited'],
    [500, { trace_id: 'x' }, 'unavailable'],
    [502, HTML, 'unavailable'],
    [503, HTML, 'unavailable'],
    [504, HTML, 'unavailable'],
    [599, '', 'unavailable'],
  ])('of status %d with %j is %s', (status, body, meaning) => {
    expect(failureOf(answer(status, body))).toBe(meaning);
  });

  it('is never taken for empty but for its status 204', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204),
        fc.string(),
        (status, body) => {
          expect(judgeAnswer(answer(status, body)).kind).not.toBe('empty');
        },
      ),
    );
  });

  it('says what it says', () => {
    const faults = [{ errors: [{ code: 'NotSupportedChoice', path: 'a.0' }] }];
    const problem = { title: 'Bad Request', detail: 'It failed', 'validation-errors': faults };
    expect(judgeAnswer(answer(400, problem))).toMatchObject({
      detail: `It failed; ${JSON.stringify(faults)}`,
    });
    const oauth = { hint: 'Token has been revoked', title: 'x', detail: 'Not valid' };
    expect(judgeAnswer(answer(401, oauth))).toMatchObject({
      detail: 'Not valid; Token has been revoked',
    });
    expect(judgeAnswer(answer(500, { title: 7, detail: {} }))).toMatchObject({ detail: undefined });
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const text = `{"title":"Deep","validation-errors":${deep}}`;
    expect(judgeAnswer({ status: 422, headers: {}, text })).toMatchObject({ detail: 'Deep' });
  });

  it.each([
    ['nothing', '', {}, 60],
    ['a body', { retry_after: 300 }, {}, 300],
    ['a body in words', { retry_after: '90' }, {}, 90],
    ['a body without sense', { retry_after: 'soon' }, {}, 60],
    ['a header', '', { 'retry-after': '120' }, 120],
    ['both', { retry_after: 70 }, { 'retry-after': '120' }, 120],
    ['both, the other way round', { retry_after: 500 }, { 'retry-after': '120' }, 500],
    ['little', { retry_after: 1 }, { 'retry-after': '2' }, 60],
    ['too much', { retry_after: 1e9 }, {}, 86_400],
    [
      'a moment',
      '',
      { 'retry-after': 'Sat, 28 Nov 2026 10:05:00 GMT', date: 'Sat, 28 Nov 2026 10:00:00 GMT' },
      300,
    ],
    ['a moment without a date', '', { 'retry-after': 'Sat, 28 Nov 2026 10:05:00 GMT' }, 60],
    ['words', '', { 'retry-after': 'later', date: 'now' }, 60],
  ])('with status 429 and %s asks for a pause of so long', (_name, body, headers, seconds) => {
    expect(judgeAnswer(answer(429, body, headers))).toMatchObject({ pauseSeconds: seconds });
  });

  it('has the time of the server', () => {
    expect(serverSecondsOf({ date: 'Sat, 28 Nov 2026 10:00:00 GMT' })).toBe(1_795_860_000);
    expect(serverSecondsOf({ date: 'yesterday' })).toBeUndefined();
    expect(serverSecondsOf({})).toBeUndefined();
  });
});

describe('trying again', () => {
  const KINDS = [
    'needs_reauth',
    'payment_required',
    'forbidden',
    'blocked',
    'rate_limited',
    'not_found',
    'rejected',
  ] as const satisfies readonly KommoFailure[];

  it('is for what passes by itself, three times, each at a moment of its own', () => {
    const spans = [0, 1, 2].map((attempt) => {
      const delays = [0, 0.5, 0.999_999].map((random) =>
        nextDelay('unavailable', { attempt, random }),
      );
      expect(delays).toEqual([0, 0.5, 1].map((share) => share * 1_000 * 2 ** attempt));
      return delays[2];
    });
    expect(spans).toEqual([1_000, 2_000, 4_000]);
    expect(nextDelay('malformed', { attempt: 2, random: 1 })).toBe(4_000);
    expect(nextDelay('malformed', { attempt: 3, random: 1 })).toBeUndefined();
    for (const kind of KINDS) expect(nextDelay(kind, { attempt: 0, random: 1 })).toBeUndefined();
  });

  it('asks for half as many rows, and for fifty at least', () => {
    expect([250, 200, 125, 100, 50, 10].map(smallerLimit)).toEqual([125, 125, 50, 50, 50, 50]);
  });
});

describe('what Kommo says', () => {
  const TOKEN = 'eyJhbGciOi.payload.signature';

  it('is shown in one short line, without what was sent', () => {
    const text = cleanDetail(`Bad\r\n\tBearer ${TOKEN}\u202e (${TOKEN})`, [TOKEN]);
    expect(text).toBe('Bad Bearer [secret] ([secret])');
    expect(cleanDetail('x'.repeat(5_000), [])).toHaveLength(301);
    expect(cleanDetail('a bad word', ['', 'bad'])).toBe('a bad word');
  });

  it('stands behind a sentence for a person', () => {
    expect(sayFailure('rate_limited')).toBe('Kommo asks for a pause.');
    expect(sayFailure('forbidden', 'No rights')).toMatch(/^Whoever .*\. It says: No rights$/);
  });
});
