import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/** Rules of docs/spec begin a list item: `- **R4** ...`; a test of one begins its title with `[R4] `. */
const rules = globSyncSorted('docs/spec/*.md').flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/^- \*\*([A-Z]\d+)\*\* /gm)].map((match) => match[1] ?? ''),
);
const tested = globSyncSorted('test/**/*.test.ts').flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/['"`]\[([A-Z]\d+)\] /g)].map((match) => match[1] ?? ''),
);

function globSyncSorted(pattern: string): string[] {
  return globSync(pattern).sort();
}

describe('rules and tests', () => {
  it('names every rule once', () => {
    expect(rules.length).toBeGreaterThan(0);
    expect(rules.filter((rule, index) => rules.indexOf(rule) !== index)).toEqual([]);
  });

  it('has a test for every rule', () => {
    expect(rules.filter((rule) => !tested.includes(rule))).toEqual([]);
  });

  it('has a rule for every test that claims one', () => {
    expect(tested.filter((rule) => !rules.includes(rule))).toEqual([]);
  });
});
