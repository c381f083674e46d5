import { describe, expect, test } from 'vitest';
import { json } from '../../domain/column.ts';

const { value } = json();
const says = (given: unknown): string | undefined =>
  value.safeParse(given).error?.issues[0]?.message;

/** `{"a":{"a":...1}}`, this many objects in each other. */
const nested = (levels: number): unknown =>
  JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);

describe('an object of free form', () => {
  test('is nested 32 levels at most: thousands overflow the stack of whoever reads it', () => {
    expect(says(nested(32))).toBeUndefined();
    expect(says(nested(33))).toContain('32 levels');
    expect(says(nested(200_000))).toContain('32 levels');
    expect(says({ list: JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) })).toContain(
      '32 levels',
    );
  });

  test('holds what can be stored as it is, names and values alike', () => {
    for (const text of ['\0', '\ud800']) {
      expect(says({ a: text })).toContain('cannot be stored');
      expect(says({ a: [{ [`b${text}`]: 1 }] })).toContain('cannot be stored');
    }
    expect(says({ a: Number('1e400') })).toContain('too large');
    // A backslash that is only text.
    expect(says({ path: String.raw`C:\u0000` })).toBeUndefined();
    expect(says({ a: [null, true, 1e300, '😀'] })).toBeUndefined();
  });

  test('has 16 KiB at most', () => {
    expect(says({ a: 'x'.repeat(16_000) })).toBeUndefined();
    expect(says({ a: 'x'.repeat(17_000) })).toContain('16 KiB');
  });
});
