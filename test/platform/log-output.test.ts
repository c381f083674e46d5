import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { standardOutput } from '../../platform/log-output.ts';

const failed = (code: string): Error => Object.assign(new Error(code), { code });

/** Takes what `room` has left, and then says that it is full, as a pipe does that nobody waits for. */
function createPipe(room: number) {
  let text = '';
  const pipe = {
    room,
    text: () => text,
    write: (_: number, bytes: Uint8Array): number => {
      const taken = bytes.subarray(0, Math.min(bytes.length, pipe.room));
      if (taken.length === 0) throw failed('EAGAIN');
      pipe.room -= taken.length;
      text += Buffer.from(taken).toString();
      return taken.length;
    },
  };
  return pipe;
}

describe('a log', () => {
  it('whose reader does not read loses whole lines, and goes on where it was', () => {
    const pipe = createPipe(15);
    const output = standardOutput(pipe.write);
    for (const line of ['the first\n', 'the second\n', 'the third\n']) output.write(line);
    expect(pipe.text()).toBe('the first\nthe s');
    pipe.room = 1_000;
    output.write('the fourth\n');
    expect(pipe.text()).toBe('the first\nthe second\nthe fourth\n');
  });

  it('is not tried again behind a reader that is gone', () => {
    let tries = 0;
    const output = standardOutput(() => {
      tries += 1;
      throw failed('EPIPE');
    });
    for (let line = 0; line < 3; line++) output.write('nobody\n');
    expect(tries).toBe(1);
  });

  const PROGRAM = `
    import { createLog } from './platform/log.ts';
    import { runUntilStopped } from './platform/lifecycle.ts';
    const log = createLog({ component: 'ingest', level: 'info' });
    void runUntilStopped(log, async () => {
      log.info('started');
      setInterval(() => process.env.TALKS && log.info({ text: 'x'.repeat(10_000) }, 'again'), 1);
      return { stop: async () => ['one', 'two', 'three'].forEach((each) => log.info(each)) };
    });
  `;

  it.each(['is gone', 'does not read'])(
    'whose reader %s keeps no process from ending',
    async (how) => {
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '--eval', PROGRAM],
        {
          cwd: new URL('../..', import.meta.url),
          env: { ...process.env, TALKS: how === 'is gone' ? '' : 'yes' },
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      await once(child.stdout, 'readable');
      if (how === 'is gone') child.stdout.destroy();
      child.kill('SIGTERM');
      const [code] = (await once(child, 'exit')) as [number | null];
      expect(code).toBe(0);
      child.stdout.destroy();
    },
  );
});
