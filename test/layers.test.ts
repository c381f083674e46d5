import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * Rules of the house that no compiler knows: layers (docs/README.md), one reader of the
 * environment, SQL, names.
 */
const ROOT = fileURLToPath(new URL('../', import.meta.url));
const SKIPPED = new Set(['node_modules', 'dist', '.git', '.clarin', '.scratch', 'coverage']);
const TEXT = /\.(ts|mjs|js|json|sql|lua|md|yml|yaml|conf|html|css)$|(^|\/)(Dockerfile|run|\.\w+)$/;

type File = { path: string; text: string };

function readTree(directory: string): File[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry): File[] => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : readTree(path);
    if (!entry.isFile() || !TEXT.test(path)) return [];
    return [{ path: relative(ROOT, path), text: readFileSync(path, 'utf8') }];
  });
}

const files = readTree(ROOT);
const inFolders = (...folders: string[]): File[] =>
  files.filter((file) => folders.includes(file.path.split('/')[0] ?? ''));
const sources = inFolders(
  'bin',
  'domain',
  'platform',
  'server',
  'replicator',
  'migrations',
  'fakes',
);

/** What each folder may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  platform: ['domain'],
  server: ['platform', 'domain'],
  replicator: ['platform', 'domain'],
  migrations: ['platform', 'domain'],
  // Nothing of the product: what it is compared with must not be it.
  fakes: ['platform', 'domain'],
  bin: ['server', 'replicator', 'migrations', 'fakes', 'platform', 'domain'],
};

/** All that the domain imports from outside: neither does I/O and both run in a browser. */
const PURE_PACKAGES = ['zod', 'libphonenumber-js/max'];

/** Every module named in a static import, an export from, or an import(). */
function importsOf(file: File): string[] {
  const found = file.text.matchAll(/(?:\bfrom\s+|\bimport(?:\s+|\s*\(\s*))'([^']+)'/g);
  return [...found].map((match) => match[1] ?? '');
}

function folderOf(file: File, name: string): string {
  return relative(ROOT, join(ROOT, dirname(file.path), name)).split('/')[0] ?? '';
}

const linesWith = (list: readonly File[], pattern: RegExp): string[] =>
  list.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  );

describe('the layers', () => {
  it('import downwards only', () => {
    const wrong = sources.flatMap((file) => {
      const own = file.path.split('/')[0] ?? '';
      const allowed = [own, ...(MAY_IMPORT[own] ?? [])];
      return importsOf(file)
        .filter((name) => name.startsWith('.') && !allowed.includes(folderOf(file, name)))
        .map((name) => `${file.path} imports ${name}`);
    });
    expect(wrong).toEqual([]);
  });

  it('rest on a domain that imports zod, the numbering plans and itself only', () => {
    const wrong = inFolders('domain').flatMap((file) =>
      importsOf(file)
        .filter((name) => !PURE_PACKAGES.includes(name) && !name.startsWith('.'))
        .map((name) => `${file.path} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  it('read the environment in platform/config.ts and in the command only', () => {
    const readers = sources.filter(
      ({ path }) => path !== 'platform/config.ts' && !path.startsWith('bin/'),
    );
    expect(linesWith(readers, /\bprocess\s*\.\s*env\b|\bprocess\s*\[/)).toEqual([]);
  });
});

describe('the sources', () => {
  it('name the columns they read', () => {
    expect(linesWith(sources, /\b(select|returning)\s+(\w+\.)?\*/i)).toEqual([]);
  });

  it('name no path of a machine and no registry', () => {
    // In pieces, so that this file does not find itself.
    const names = [
      '/wo' + 'rk/',
      '/ro' + 'ot/',
      '/ho' + 'me/',
      '/Us' + 'ers/',
      'registry\\.npm' + 'js',
      '/notes-' + 'contracts',
    ];
    expect(linesWith(files, new RegExp(names.join('|')))).toEqual([]);
  });
});
