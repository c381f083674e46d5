import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readClaims, tokenWarning } from '../../server/kommo/jwt.ts';
import { isDueAt } from '../../server/kommo/token-source.ts';

const tokenOf = (claims: unknown): string =>
  `head.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;
const DAY_MS = 24 * 3_600_000;
const NOW = Date.UTC(2026, 10, 28);

describe('a token of Kommo', () => {
  it('says when it was made, when it ends and who knows its account', () => {
    const token = tokenOf({
      iat: 1_000,
      exp: 2_000,
      api_domain: 'API-B.kommo.com',
      scopes: ['crm'],
    });
    expect(readClaims(token)).toEqual({
      issuedAtMs: 1_000_000,
      expiresAtMs: 2_000_000,
      apiDomain: 'api-b.kommo.com',
    });
  });

  it('says nothing when it is none, or of what is not what it should be', () => {
    const nothing = { issuedAtMs: undefined, expiresAtMs: undefined, apiDomain: undefined };
    expect(readClaims(tokenOf({ iat: 'x', exp: -1, api_domain: 5 }))).toEqual(nothing);
    expect(readClaims(tokenOf([1]))).toEqual(nothing);
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(readClaims(text)).toEqual(nothing);
        expect(readClaims(`a.${text}.b`)).toEqual(nothing);
      }),
    );
  });
});

describe('a long-lived token', () => {
  it.each([
    [31, undefined],
    [30.001, undefined],
    [30, 30],
    [7.001, 30],
    [7, 7],
    [1.001, 7],
    [1, 1],
    [0.001, 1],
    [0, 0],
    [-400, 0],
  ])('that lives for %d more days is warned of as within %s', (days, withinDays) => {
    expect(tokenWarning(NOW + days * DAY_MS, NOW)?.withinDays).toBe(withinDays);
  });

  it('is warned of in a sentence with its end', () => {
    expect(tokenWarning(NOW + 20 * DAY_MS, NOW)?.says).toBe(
      'The long-lived token ends on 2026-12-18, within 30 days. Make a new one in Kommo.',
    );
    expect(tokenWarning(NOW + 1, NOW)?.says).toContain('within a day');
    expect(tokenWarning(NOW - 1, NOW)?.says).toContain('ended on 2026-11-27');
  });
});

describe('tokens that are renewed', () => {
  const grant = { refreshToken: 'r', keptAt: '', keptAtMs: NOW, expiresAtMs: NOW + DAY_MS };
  const due = (accessToken: string, shareOfDay: number, more = {}) =>
    isDueAt({ ...grant, accessToken, ...more }, NOW + shareOfDay * DAY_MS);

  it('are due after four fifths of their life, as they tell it', () => {
    const token = tokenOf({ iat: NOW / 1_000, exp: NOW / 1_000 + 10 * 86_400 });
    expect([7.9, 8, 11].map((days) => due(token, days))).toEqual([false, true, true]);
  });

  it('are due by what the connection says when they say nothing, and else never', () => {
    expect([0.79, 0.8, 2].map((share) => due('opaque', share))).toEqual([false, true, true]);
    expect(due('opaque', 5, { expiresAtMs: undefined })).toBe(false);
    expect(due('opaque', 5, { refreshToken: undefined })).toBe(false);
  });
});
