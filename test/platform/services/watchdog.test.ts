import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { isAlive } from '../../../platform/services/processes.ts';
import { eventually } from '../../support/eventually.ts';

/** Starts a child of its own, has it watched and stops it (SIGSTOP); says the child's id. */
const MASTER = `
  import { spawn } from 'node:child_process';
  import { startWatchdog } from ${JSON.stringify(new URL('../../../platform/services/watchdog.ts', import.meta.url).href)};
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  startWatchdog([{ pid: child.pid, signal: 'TERM' }]);
  child.kill('SIGSTOP');
  process.stdout.write(String(child.pid));
  setInterval(() => undefined, 1_000);
`;

describe('a watchdog', () => {
  it('ends what it watches when its master is killed, also what stands still', async () => {
    const words = ['--import', 'tsx', '--input-type=module', '-e', MASTER];
    const master = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(master.stdout, 'data')) as [Buffer];
    const pid = Number(said.toString());
    expect(isAlive(pid)).toBe(true);
    master.kill('SIGKILL');
    await eventually(() => !isAlive(pid), { says: 'the child has ended' });
  });
});
