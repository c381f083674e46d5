import { describe, expect, it } from 'vitest';
import { ClarinError } from '../../../domain/errors.ts';
import {
  DOWNLOAD_REFUSALS,
  DownloadRefusal,
  judgeDownload,
} from '../../../server/whatsapp/judge-download.ts';

const judge = (error: unknown, attempts = 1, ageMs = 0) =>
  judgeDownload(error, { attempts, ageMs, random: () => 0.5 });

describe('a file that was not fetched', () => {
  it.each([
    ['a refusal', new DownloadRefusal('No.'), 1, 0, 'No.'],
    [
      'one that turned out too large',
      new ClarinError('too_large', 'x'),
      1,
      0,
      DOWNLOAD_REFUSALS.too_large,
    ],
    ['the twentieth try', new Error('x'), 20, 0, DOWNLOAD_REFUSALS.gave_up],
    ['a try after three weeks', new Error('x'), 1, 21 * 86_400_000, DOWNLOAD_REFUSALS.gave_up],
  ])('is given up: %s', (...[, error, attempts, ageMs, reason]) => {
    expect(judge(error, attempts, ageMs)).toEqual({ kind: 'failed', reason });
  });

  it('is tried again, later with every time', () => {
    expect(judge(new Error('x'))).toEqual({ kind: 'retry', delayMs: 5_000 });
    expect(judge(new ClarinError('unavailable', 'x'), 3)).toEqual({
      kind: 'retry',
      delayMs: 20_000,
    });
    expect(judge(new Error('x'), 19)).toEqual({ kind: 'retry', delayMs: 12 * 3_600_000 });
  });
});
