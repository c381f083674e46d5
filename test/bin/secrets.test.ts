import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSecrets } from '../../bin/dev/data-directory.ts';

let directory: string;
const file = () => join(directory, 'secrets.json');

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'clarin-secrets-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('the secrets of dev', () => {
  it('are made once, for their owner only, with a key that seals', async () => {
    const made = await readSecrets(directory);
    expect(await readSecrets(directory)).toEqual(made);
    expect(made.encryption).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(Object.values(made)).size).toBe(Object.keys(made).length);
    expect((await stat(file())).mode & 0o077).toBe(0);
  });

  it('of a directory from before there was such a key get one, and keep it', async () => {
    const { encryption, ...before } = await readSecrets(directory);
    await writeFile(file(), JSON.stringify(before));
    const completed = await readSecrets(directory);
    expect(completed).toMatchObject(before);
    expect(completed.encryption).not.toBe(encryption);
    expect(await readSecrets(directory)).toEqual(completed);
    expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual(completed);
  });

  it('that are damaged are no reason to make others: what was sealed would be lost', async () => {
    for (const text of ['{', '[]', '{"owner":"x"}', 'null']) {
      await writeFile(file(), text);
      await expect(readSecrets(directory)).rejects.toThrow('is damaged');
      expect(await readFile(file(), 'utf8')).toBe(text);
    }
  });
});
