import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** Rules of docs/spec begin a list item: `- **R4** ...`; a test of one begins its title with `[R4] `. */
const rules = filesOf('docs/spec', '.md').flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/^- \*\*([A-Z]\d+)\*\* /gm)].map(
    (match) => match[1] ?? '',
  ),
);
const tested = filesOf('test', '.test.ts').flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/['"`]\[([A-Z]\d+)\] /g)].map((match) => match[1] ?? ''),
);

function filesOf(folder: string, ending: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(folder, name));
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
