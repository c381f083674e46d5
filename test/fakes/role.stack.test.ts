import { execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { endProcess, waitForExit } from '../../platform/services/processes.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

describe('clarin fake-kommo', () => {
  it('prints its address and a token, answers as Kommo, lives by itself, and ends with exit code 0', async () => {
    const words = ['--port', '0', '--leads', '20', '--contacts', '10', '--edits', '6000'];
    const child = spawn(process.execPath, [join(ROOT, 'bin/clarin.mjs'), 'fake-kommo', ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => endProcess(child, 'SIGKILL', 1_000));
    type Ready = { url: string; longLivedToken: string; subdomain: string };
    let ready: Ready | undefined;
    for await (const line of createInterface({ input: child.stdout })) {
      const json = /^fake-kommo ready (.*)$/.exec(line)?.[1];
      if (json === undefined) continue;
      ready = JSON.parse(json) as Ready;
      break;
    }
    const get = async (path: string): Promise<Response> =>
      fetch(`${ready?.url}/${ready?.subdomain}/api/v4/${path}`, {
        headers: { authorization: `Bearer ${ready?.longLivedToken}` },
      });
    const leads = (await (await get('leads?limit=250')).json()) as {
      _embedded: { leads: unknown[] };
    };
    expect(leads._embedded.leads.length).toBeGreaterThan(10);
    let status = 204;
    while (status === 204) {
      const answer = await fetch(`${ready?.url}/__admin/accounts/${ready?.subdomain}`);
      const { edits } = (await answer.json()) as { edits: { leads: number } };
      status = edits.leads > 0 ? 200 : 204;
    }
    child.kill('SIGTERM');
    await waitForExit(child, 10_000);
    expect(child.exitCode).toBe(0);
  });

  it('is not in a build for production, and says so', async () => {
    const list = ['tsc', '-p', 'tsconfig.build.json', '--listFilesOnly'];
    const { stdout } = await run('npx', list, { cwd: ROOT });
    expect(stdout).toContain('/bin/roles.ts');
    expect(stdout.split('\n').filter((file) => file.startsWith(join(ROOT, 'fakes')))).toEqual([]);

    const copy = await mkdtemp(join(tmpdir(), 'clarin-without-fakes-'));
    onTestFinished(() => rm(copy, { recursive: true, force: true }));
    for (const part of ['bin', 'domain', 'platform', 'package.json']) {
      await cp(join(ROOT, part), join(copy, part), { recursive: true });
    }
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const refused = run(process.execPath, [join(copy, 'bin/clarin.mjs'), 'fake-kommo']);
    await expect(refused).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('for development and not part of this build'),
    });
  });
});
