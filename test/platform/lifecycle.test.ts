import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';

const PROGRAM = `
  import { createLog } from './platform/log.ts';
  import { runUntilStopped } from './platform/lifecycle.ts';
  void runUntilStopped(createLog({ component: 'ingest', level: 'info' }), async () => ({
    stop: async () => undefined,
    forgives: (error) => error.name === 'Theirs',
  }));
  const reject = (name) => void Promise.reject(Object.assign(new Error('whisper'), { name }));
  setImmediate(() => {
    reject('Theirs');
    setImmediate(() => reject('Ours'));
  });
`;

it('a fault that nobody handles ends the process, but for one that is forgiven, which is logged without its words', async () => {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', PROGRAM],
    { cwd: new URL('../..', import.meta.url), stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let text = '';
  child.stdout.on('data', (chunk) => void (text += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const find = (says: string) => lines.find(({ message }) => message === says);
  const forgiven = find('a library left a fault unhandled: this process goes on');
  expect(forgiven).toMatchObject({ errorName: 'Theirs' });
  expect(JSON.stringify(forgiven)).not.toContain('whisper');
  expect(JSON.stringify(find('unhandled fault'))).toContain('Ours');
  expect(lines).toHaveLength(2);
  expect(code).toBe(2);
});
